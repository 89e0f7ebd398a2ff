"""Training direct translation of speech: a text model learns to READ what a finished recogniser hears.

It knows recipes, which translations go with which speech, and the dev losses. What a batch is, is in speech_corpus.py;
what the loss is, in direct_objective.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.model import Model
from streamtrans.models.recognizer import Recognizer
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.direct_objective import SpeechTranslation, shifted
from streamtrans.training.distill import distill
from streamtrans.training.objective import FULL, drawn_k
from streamtrans.training.recipe import DirectRecipe, Speech
from streamtrans.training.speech_corpus import SpeechBatch, TranslatedSpeech
from streamtrans.training.speech_sources import Recordings, Source, read_source
from streamtrans.training.task import Share, autocast, finished, found_vocabulary, moved
from streamtrans.training.transcript import printed
from streamtrans.training.workers import Workers


class DirectTask:
    """See `task.Task`. folder: of the run, which keeps the recogniser it began with and, in translations.tsv, what the
    text model of `start` makes of recordings (distillation: nobody has translated them).
    """

    def __init__(self, recipe: DirectRecipe, data: Path, folder: Path, workers: Workers) -> None:
        self.recipe, self.workers = recipe, workers
        start = finished(recipe, folder, recipe.start)
        teacher, self.vocabulary = checkpoint.load(start)
        language = teacher.config.source
        train = [read_source(data, corpus, language) for corpus in recipe.train]
        dev = [read_source(data, corpus, language, held_out=True) for corpus in recipe.dev]
        with workers.first():
            found_vocabulary(recipe, folder)
            recognizer = self._recognizer(folder)
            self._translate([*train, *dev], teacher, folder / "translations.tsv")
        heard = recognizer[0].config
        if heard.language != language:
            raise ConfigError(f"{recipe.name}: {recipe.recognizer} hears {heard.language}")
        values = {**dataclasses.asdict(teacher.config), **recipe.model, "states": heard.dim}
        self.config = build(ModelConfig, values, f"{recipe.name}: model")
        self.corpus = TranslatedSpeech(recipe, train, self.vocabulary, heard, language, workers)
        self.corpus.fill = float(recognizer[0].normalization.mean.mean())
        self.dev = [self.corpus.spread(source)[1] for source in dev]
        torch.manual_seed(recipe.seed)
        self.model = Model(self.config).to(workers.device)
        ends_word = torch.tensor(self.vocabulary.ends_word, device=workers.device)
        self.objective = SpeechTranslation(self.model, recognizer, ends_word, recipe.smoothing)

    def shares(self, step: int) -> Iterator[Share]:
        """See `task.Task`."""
        recipe = self.recipe
        for pieces, weight, batch in self.corpus.from_step(step):
            count = len(self.corpus.plan(step).rows)
            k = drawn_k(recipe.lowest_k, recipe.highest_k, recipe.full, count)
            own, _ = self.workers.part(count)
            yield Share((*_inputs(batch), k[own]), pieces, weight, batch.seconds)
            step += 1

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """Cross-entropy in nats a piece for some k."""
        self.objective.eval()
        measures: dict[str, float] = {}
        for corpus, batches in zip(self.recipe.dev, self.dev, strict=True):
            totals = dict.fromkeys((1, 3, 7, FULL), 0.0)
            for batch in batches:
                mel, frames, target = moved(_inputs(batch), self.workers.device)
                with autocast(self.workers.device):
                    heard = self.objective.hear(mel, frames)
                    for k in totals:
                        waits = torch.full_like(frames, k)
                        _, plain = self.objective.losses(*heard, shifted(target), target, waits)
                        totals[k] += float(plain)
            pieces = sum(int(batch.lengths.sum()) for batch in batches)
            for k, total in totals.items():
                name = "full" if k == FULL else f"wait-{k}"
                measures[f"{_name(corpus)} {name}"] = total / pieces
        return measures

    def _recognizer(self, folder: Path) -> tuple[Recognizer, Vocabulary]:
        kept = folder / checkpoint.RECOGNIZER
        if not kept.exists():
            checkpoint.copy(finished(self.recipe, folder, self.recipe.recognizer), kept)
        return checkpoint.load_recognizer(kept, self.workers.device)

    def _translate(self, sources: Sequence[Source], teacher: Model, path: Path) -> None:
        """Give recordings what the teacher makes of their transcripts; the file keeps it for the next start."""
        recordings = [source for source in sources if isinstance(source, Recordings)]
        language = teacher.config.source
        texts = dict.fromkeys(
            printed(t, language) for source in recordings for t in source.transcripts
        )
        if not texts:
            return
        for _ in distill(teacher, self.vocabulary, list(texts), path):
            pass
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        found = dict(line.split("\t") for line in lines)
        for source in recordings:
            source.translations = [found[printed(text, language)] for text in source.transcripts]


def _name(corpus: Speech) -> str:
    return corpus.text or corpus.recordings


def _inputs(batch: SpeechBatch) -> tuple[Tensor, Tensor, Tensor]:
    """As `SpeechTranslation` takes them, without k."""
    return batch.mel, batch.frames, batch.labels
