"""Batches of speech: which utterances a step has, spoken or read, changed as microphones would, as features and labels.

A batch follows from the seed and its step alone: nothing is remembered, so a run goes on anywhere, and any process
can make any row. It knows samples, features and labels. It does not know models or optimizers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from streamtrans.audio.features import HOP, SILENCE, LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.models.config import ConfigError
from streamtrans.models.recognizer import BLANK
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.augmentation import CLEAN, padded
from streamtrans.training.recipe import SoundRecipe
from streamtrans.training.speech_sources import Source, SpokenText, plain_voices
from streamtrans.training.workers import Workers

DEV_ROWS = 100
DEV_BATCH = 20
ALIKE = 50  # the rows of a batch are from a part of their source, one of so many by length


@dataclass(frozen=True)
class SpeechBatch:
    """mel: (B, T, M) log-mel frames, silence behind them; frames: (B,) that count, with the tail that lets the last
    states out; labels: (B, U), lengths: (B,) of them; seconds: of sound, without padding.
    """

    mel: Tensor
    frames: Tensor
    labels: Tensor
    lengths: Tensor
    seconds: float

    @classmethod
    def of(
        cls, sounds: list[Samples], labels: Sequence[Sequence[int]], config: SpeechEncoderConfig
    ) -> SpeechBatch:
        """From samples of 16 kHz and the pieces of their transcripts."""
        samples, sizes = padded(sounds)
        frames = sizes // HOP
        whole = frames + torch.tensor([config.tail(int(n)) for n in frames])
        samples = F.pad(samples, (0, int(whole.max()) * HOP - samples.shape[1]))
        lengths = torch.tensor([len(row) for row in labels])
        table = torch.full((len(labels), max(1, int(lengths.max()))), BLANK)
        for line, row in zip(table, labels, strict=True):
            line[: len(row)] = torch.tensor(row)
        with torch.no_grad():
            mel = LogMel(config.mels)(samples)
        return cls(mel, whole, table, lengths, float(sizes.sum()) / RATE)


@dataclass(frozen=True)
class Plan:
    """The rows of a step, before anything is spoken. easy: of the curriculum's first part."""

    step: int
    source: Source
    rows: np.ndarray
    easy: bool


class SpeechCorpus(Dataset[tuple[int, float, SpeechBatch]]):
    """The batches of a recipe. sources: one for each of its corpora. fill: what masked features are set to.

    Item `step`: pieces in that step's whole batch, and this worker's share of it, its weight first.
    """

    def __init__(
        self,
        recipe: SoundRecipe,
        sources: Sequence[Source],
        vocabulary: Vocabulary,
        config: SpeechEncoderConfig,
        language: str,
        workers: Workers,
    ) -> None:
        self.fill = SILENCE
        self._recipe, self._sources, self._workers = recipe, sources, workers
        self._vocabulary, self._config = vocabulary, config
        self._voices = plain_voices(language, recipe.curriculum.voices)
        self._orders = [np.argsort(source.seconds, kind="stable") for source in sources]
        self._easy = [self._easy_rows(*pair) for pair in zip(sources, self._orders, strict=True)]
        if recipe.curriculum.steps and not any(len(rows) for rows in self._easy):
            raise ConfigError(f"{recipe.name}: no sentence is as short as the curriculum wants")

    def from_step(self, step: int) -> Iterator[tuple[int, float, SpeechBatch]]:
        """The items of `step` and all after it, made in this process or ahead of time by others."""
        steps, chance = (
            range(step, self._recipe.steps),
            torch.Generator(),
        )  # leave torch's own alone
        loaders = self._recipe.loaders
        return iter(DataLoader(self, None, sampler=steps, num_workers=loaders, generator=chance))

    def __getitem__(self, step: int) -> tuple[int, float, SpeechBatch]:
        plan = self.plan(step)
        pieces = sum(len(labels) for labels in self._labels(plan.source, plan.rows))
        own, weight = self._workers.part(len(plan.rows))
        return max(1, pieces), weight, self.batch(plan, own)

    def plan(self, step: int) -> Plan:
        """Rows alike in length, of one source, together of at most the recipe's seconds, or one row.

        A second of speech is as likely as any other of its source, a source as its share says.
        """
        rng = np.random.default_rng((self._recipe.seed, step))
        easy = rng.random() >= self._full_share(step)
        orders = self._easy if easy else self._orders
        shares = np.array([c.share for c in self._recipe.train]) * [len(o) > 0 for o in orders]
        number = int(rng.choice(len(shares), p=shares / shares.sum()))
        source, order = self._sources[number], orders[number]
        until = np.cumsum(source.seconds[order])
        at = int(np.searchsorted(until, rng.random() * until[-1]))
        count = int(np.clip(self._recipe.seconds / source.seconds[order[at]], 1, len(order)))
        width = min(len(order), max(count, len(order) // ALIKE))
        first = int(np.clip(at - width // 2, 0, len(order) - width))
        rows = order[first + rng.choice(width, count, replace=False)]
        fitting = np.searchsorted(np.cumsum(source.seconds[rows]), self._recipe.seconds, "right")
        return Plan(step, source, rows[: max(1, fitting)], easy)

    def batch(self, plan: Plan, own: np.ndarray, masked: bool = True) -> SpeechBatch:
        """Some rows of a plan, by their place in it, spoken and changed."""
        recipe = self._recipe
        augmentation = CLEAN if plan.easy else recipe.augmentation
        voices = self._voices if plan.easy else []
        sounds, chances = [], []
        for place in own:
            rng = np.random.default_rng((recipe.seed, plan.step, int(place)))
            utterance = plan.source.utterance(int(plan.rows[place]), rng, voices)
            sounds.append(augmentation.apply(utterance, rng).samples)
            chances.append(rng)
        labels = self._labels(plan.source, plan.rows[own])
        batch = SpeechBatch.of(sounds, labels, self._config)
        if masked and not plan.easy:
            for mel, sound, rng in zip(batch.mel, sounds, chances, strict=True):
                heard = mel[: len(sound) // HOP]
                heard.copy_(recipe.masks.apply(heard, self.fill, rng))
        return batch

    def spread(self, source: Source) -> tuple[np.ndarray, list[SpeechBatch]]:
        """For measures: some rows spread over a source, short ones first, and their batches, the same at any time."""
        every = max(1, len(source.transcripts) // DEV_ROWS)
        rows = np.argsort(source.seconds, kind="stable")[::every][:DEV_ROWS]
        batches = []
        for some in np.array_split(rows, max(1, len(rows) // DEV_BATCH)):
            chances = [np.random.default_rng((self._recipe.seed, int(row))) for row in some]
            pairs = zip(some, chances, strict=True)
            sounds = [source.utterance(int(row), chance).samples for row, chance in pairs]
            batches.append(SpeechBatch.of(sounds, self._labels(source, some), self._config))
        return rows, batches

    def _full_share(self, step: int) -> float:
        """Of the steps about here, how many have all the recipe has: 0 at first, then rising to 1."""
        easy = self._recipe.curriculum.steps
        return float(np.clip((step - easy) / easy, 0, 1)) if easy else 1.0

    def _easy_rows(self, source: Source, order: np.ndarray) -> np.ndarray:
        if not isinstance(source, SpokenText):
            return order[:0]
        most = self._recipe.curriculum.words
        return order[[len(source.transcripts[row].split()) <= most for row in order]]

    def _labels(self, source: Source, rows: np.ndarray) -> list[list[int]]:
        return self._vocabulary.encode_lines([source.transcripts[row] for row in rows])


class TranslatedSpeech(SpeechCorpus):
    """The same speech, its labels the pieces of its translations, with the end. vocabulary: of the translator."""

    def _labels(self, source: Source, rows: np.ndarray) -> list[list[int]]:
        lines = self._vocabulary.encode_lines([source.translations[row] for row in rows])
        return [[*line, self._vocabulary.eos] for line in lines]
