"""Training on parallel text: translation under multi-path wait-k, or the policy head of a finished model.

It knows recipes, pairs, how k is drawn and the dev losses. What a loss is, is in objective.py; what a batch is, in
corpus.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamtrans.models.config import ModelConfig, build
from streamtrans.models.model import Model
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.corpus import Pairs, endless, read_pairs
from streamtrans.training.objective import FULL, Confidence, Translation, drawn_k
from streamtrans.training.recipe import Corpus, Recipe
from streamtrans.training.task import Share, autocast, found_vocabulary, moved, other_run
from streamtrans.training.workers import Workers

DEV_PAIRS = 400


class TextTask:
    """See `task.Task`. folder: of the run, which keeps the vocabulary once learned."""

    def __init__(self, recipe: Recipe, data: Path, folder: Path, workers: Workers) -> None:
        self.recipe, self.workers = recipe, workers
        corpora = recipe.train
        if recipe.teacher:
            distilled = other_run(folder, recipe.teacher) / "distilled.tsv"
            corpora = (Corpus(str(distilled.resolve())),)
        train = [read_pairs(data, corpus) for corpus in corpora]
        self.repeats = [corpus.repeat for corpus in corpora]
        with workers.first():
            self.vocabulary = self._vocabulary([p for pairs in train for p in pairs], folder)
        self.train = [Pairs.encode(pairs, self.vocabulary) for pairs in train]
        self.dev = [
            Pairs.encode(read_pairs(data, c)[:DEV_PAIRS], self.vocabulary) for c in recipe.dev
        ]
        values = {**recipe.model, "vocabulary": self.vocabulary.size}
        self.config = build(ModelConfig, values, f"{recipe.name}: model")
        torch.manual_seed(recipe.seed)
        self.model = Model(self.config).to(workers.device)
        self.objective = self._objective()

    def shares(self, step: int) -> Iterator[Share]:
        """See `task.Task`."""
        recipe = self.recipe
        for corpus, rows in endless(self.train, self.repeats, recipe.tokens, recipe.seed, step):
            pairs = self.train[corpus]
            k = drawn_k(recipe.lowest_k, recipe.highest_k, recipe.full, len(rows))
            own, weight = self.workers.part(len(rows))
            sampled = recipe.sampling * step / recipe.steps
            inputs = (*self._tensors(pairs, rows[own]), k[own], sampled)
            yield Share(inputs, int(pairs.lengths[rows, 1].sum()), weight)
            step += 1

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """Cross-entropy in nats a piece for some k."""
        self.objective.eval()
        losses: dict[str, float] = {}
        for corpus, pairs in zip(self.recipe.dev, self.dev, strict=True):
            for k in (1, 3, 7, FULL):
                total = 0.0
                for rows in np.array_split(np.arange(len(pairs)), max(1, len(pairs) // 100)):
                    inputs = (*self._tensors(pairs, rows), torch.full((len(rows),), k))
                    with autocast(self.workers.device):
                        total += float(self.objective(*moved(inputs, self.workers.device))[1])
                name = "full" if k == FULL else f"wait-{k}"
                losses[f"{_label(corpus)} {name}"] = total / int(pairs.lengths[:, 1].sum())
        return losses

    def _tensors(self, pairs: Pairs, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        batch = pairs.batch(rows, self.vocabulary.bos, self.vocabulary.pad)
        return batch.source, batch.shifted, batch.target

    def _objective(self) -> Translation | Confidence:
        recipe = self.recipe
        ends_word = torch.tensor(self.vocabulary.ends_word, device=self.workers.device)
        if recipe.objective == "policy":
            return Confidence(self.model, ends_word)
        return Translation(self.model, ends_word, recipe.smoothing, recipe.latency, recipe.variance)

    def _vocabulary(self, pairs: list[tuple[str, str]], folder: Path) -> Vocabulary:
        recipe = self.recipe
        if found := found_vocabulary(recipe, folder):
            return found
        rng = np.random.default_rng(recipe.seed)
        some = rng.permutation(len(pairs))[: recipe.vocabulary_lines // 2]
        lines = [line for i in some for line in pairs[i]]
        return Vocabulary.train(lines, recipe.vocabulary, folder / "vocabulary.model")


def _label(corpus: Corpus) -> str:
    return f"{corpus.path}, spoken" if corpus.spoken else corpus.path
