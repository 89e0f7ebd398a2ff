"""Training a recogniser: which speech it learns from, its objective, and how well it hears the dev corpora.

It knows recipes and measures. What a batch is, is in speech_corpus.py; what the loss is, in ctc.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamtrans.evaluation.recognition import character_error_rate, word_error_rate
from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError, build
from streamtrans.models.ctc import CTCWords
from streamtrans.models.recognizer import Recognizer, RecognizerConfig, best
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.recipe import Speech, SpeechRecipe
from streamtrans.training.speech_corpus import SpeechBatch, SpeechCorpus
from streamtrans.training.speech_sources import Source, read_source
from streamtrans.training.task import Share, autocast, finished, found_vocabulary, moved
from streamtrans.training.transcription import Transcription
from streamtrans.training.workers import Workers

STATISTICS = 4  # batches that the normalisation of features is fitted to


class SpeechTask:
    """See `task.Task`. data: a folder under which are the files that the recipe names."""

    def __init__(self, recipe: SpeechRecipe, data: Path, folder: Path, workers: Workers) -> None:
        self.recipe, self.workers = recipe, workers
        self.language = str(recipe.model.get("language", ""))
        sources = [read_source(data, corpus, self.language) for corpus in recipe.train]
        with workers.first():
            self.vocabulary = self._vocabulary(sources, folder)
        values = {**recipe.model, "vocabulary": self.vocabulary.size}
        self.config = build(RecognizerConfig, values, f"{recipe.name}: model")
        self.corpus = SpeechCorpus(
            recipe, sources, self.vocabulary, self.config, self.language, workers
        )
        self.dev = [self._dev(data, corpus) for corpus in recipe.dev]
        torch.manual_seed(recipe.seed)
        self.model = Recognizer(self.config)
        if recipe.encoder:
            self._begin_with(finished(recipe, folder, recipe.encoder))
        else:
            self._fit()
        self.corpus.fill = float(self.model.normalization.mean.mean())
        self.model.to(workers.device)
        self.objective = Transcription(self.model, recipe.intermediate)

    def shares(self, step: int) -> Iterator[Share]:
        """See `task.Task`."""
        for pieces, weight, batch in self.corpus.from_step(step):
            yield Share(_inputs(batch), pieces, weight, batch.seconds)

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """For each dev corpus the CTC loss in nats a piece, and error rates of greedy search."""
        self.objective.eval()
        measures: dict[str, float] = {}
        for corpus, (batches, references) in zip(self.recipe.dev, self.dev, strict=True):
            loss, hypotheses = 0.0, []
            for batch in batches:
                mel, frames, labels, lengths = moved(_inputs(batch), self.workers.device)
                with autocast(self.workers.device):
                    logits = self.model(mel)
                    loss += float(self.objective.loss(logits, frames, labels, lengths))
                hypotheses += self._texts(logits, self.model.count(frames))
            name = corpus.text or corpus.recordings
            pieces = sum(int(batch.lengths.sum()) for batch in batches)
            measures[f"{name} ctc"] = loss / pieces
            measures[f"{name} wer"] = word_error_rate(references, hypotheses)
            measures[f"{name} cer"] = character_error_rate(references, hypotheses)
        return measures

    def _texts(self, logits: Tensor, counts: Tensor) -> list[str]:
        texts = []
        for labels, count in zip(best(logits).tolist(), counts.tolist(), strict=True):
            words = CTCWords(self.vocabulary, self.config, self.language)
            heard = words.feed(labels[:count]) + words.flush()
            texts.append(" ".join(word.text for word in heard))
        return texts

    def _dev(self, data: Path, corpus: Speech) -> tuple[list[SpeechBatch], list[str]]:
        """Some rows, in held-out voices or of held-out people, and their transcripts."""
        source = read_source(data, corpus, self.language, held_out=True)
        rows, batches = self.corpus.spread(source)
        return batches, [source.transcripts[row] for row in rows]

    def _fit(self) -> None:
        """The statistics of features, from batches beyond the last step."""
        plans = [self.corpus.plan(self.recipe.steps + i) for i in range(STATISTICS)]
        batches = [self.corpus.batch(p, np.arange(len(p.rows)), masked=False) for p in plans]
        frames = [m[:n] for b in batches for m, n in zip(b.mel, b.frames, strict=True)]
        self.model.normalization.fit(torch.cat(frames))

    def _begin_with(self, folder: Path) -> None:
        """The ears of another recogniser: its encoder, and the statistics of features that this knows."""
        other, _ = checkpoint.load_recognizer(folder)
        try:
            self.model.encoder.load_state_dict(other.encoder.state_dict())
            self.model.normalization.load_state_dict(other.normalization.state_dict())
        except RuntimeError as error:  # tensors missing, or of other sizes
            raise ConfigError(
                f"{self.recipe.name}: the encoder of {folder} is another one"
            ) from error

    def _vocabulary(self, sources: Sequence[Source], folder: Path) -> Vocabulary:
        """Pieces of transcripts. Raises ConfigError."""
        recipe = self.recipe
        if found := found_vocabulary(recipe, folder):
            return found
        lines = [line for source in sources for line in source.transcripts]
        some = np.random.default_rng(recipe.seed).permutation(len(lines))
        chosen = [lines[i] for i in some[: recipe.vocabulary_lines]]
        return Vocabulary.train(
            chosen, recipe.vocabulary, folder / "vocabulary.model", byte_fallback=False
        )


def _inputs(batch: SpeechBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `Transcription` takes them."""
    return batch.mel, batch.frames, batch.labels, batch.lengths
