"""An n-gram model of pieces: how likely each piece is after the ones before it.

A trie of n-grams in flat arrays, with logarithms in a byte each: a million n-grams are 5 MB. A whole row of
probabilities is made at once and kept for a while, because the hypotheses of a beam ask for many pieces after few
contexts. It knows pieces. It does not know counts (training/kneser_ney.py), sound or hypotheses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamtrans.text.vocabulary import Vocabulary

Array = NDArray[Any]
Row = NDArray[np.float32]

STEP = 1 / 16  # nats to a step of a stored logarithm
NEVER = 255  # the cost of what no text has
PARTS = ("pieces", "costs", "backoffs", "followers")  # of a level, in a file
ROWS = 4096  # that are kept, of 4 bytes a piece


class NGramError(ValueError):
    """A file that is no n-gram model, or one of other pieces."""


@dataclass(frozen=True)
class Level:
    """The n-grams of one length n, sorted. pieces: (N,) uint16, the last piece of each; costs: (N,) uint8, -ln p of it
    after the others in steps; backoffs: (N,) int8, ln of the backoff weight in steps where it is a context; first:
    (N + 1,) uint32, where those that are one longer begin in the next level (a file has how many they are). Both are
    empty for the longest n-grams.
    """

    pieces: Array
    costs: Array
    backoffs: Array
    first: Array


class NGrams:
    """levels: of n-grams of length 1 (one for each piece), 2, ... digest: `digest` of the vocabulary of the pieces."""

    def __init__(self, levels: Sequence[Level], digest: str) -> None:
        self.levels, self.digest = list(levels), digest
        self.order = len(levels)
        self.row = lru_cache(ROWS)(self._row)
        """See `_row`, which it remembers."""

    def _row(self, before: tuple[int, ...]) -> Row:
        """ln p of each piece after at most `order - 1` others: (V,), -inf for what no text has.

        The longest n-gram that is known counts, weighed down for each piece of `before` that had to be left out (Katz
        1987, section II). The row must not be changed.
        """
        if not before:
            costs = self.levels[0].costs
            return np.where(costs == NEVER, -np.inf, costs * -STEP).astype(np.float32)
        shorter = self.row(before[1:])
        if (number := self._find(before)) is None:
            return shorter
        here, longer = self.levels[len(before) - 1], self.levels[len(before)]
        row = shorter + np.float32(here.backoffs[number] * STEP)
        known = slice(here.first[number], here.first[number + 1])
        row[longer.pieces[known]] = longer.costs[known] * np.float32(-STEP)
        return row

    def _find(self, pieces: tuple[int, ...]) -> int | None:
        """The number of an n-gram in its level."""
        number = pieces[0]
        for (level, longer), piece in zip(pairwise(self.levels), pieces[1:], strict=False):
            begin, end = level.first[number], level.first[number + 1]
            at = begin + int(longer.pieces[begin:end].searchsorted(piece))
            if at == end or longer.pieces[at] != piece:
                return None
            number = at
        return number

    def perplexity(self, lines: Sequence[Sequence[int]]) -> float:
        """Of a piece of some lines, each of which begins a text."""
        nats, count = 0.0, 0
        for line in lines:
            text = (Vocabulary.bos, *line)
            for at in range(1, len(text)):
                nats -= float(self.row(text[max(0, at - self.order + 1) : at])[text[at]])
            count += len(line)
        return float(np.exp(nats / count))

    def write(self, path: Path) -> None:
        """As `load` reads it. Raises OSError."""
        arrays: dict[str, Array] = {}
        for n, level in enumerate(self.levels, 1):
            followers = np.diff(level.first).astype(np.uint16)
            parts = level.pieces, level.costs, level.backoffs, followers
            arrays |= {f"{name}.{n}": part for name, part in zip(PARTS, parts, strict=True)}
        draft = path.with_name(path.name + ".new")  # a file stands whole or not at all
        draft.write_bytes(save(arrays, {"vocabulary": self.digest}))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, vocabulary: Vocabulary) -> NGrams:
        """Raises OSError where there is no file, NGramError where it is damaged or made of other pieces."""
        try:
            with safe_open(path, "numpy") as file:
                found = (file.metadata() or {}).get("vocabulary", "")
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise NGramError(f"{path}: {error}") from error
        if found != digest(vocabulary):
            raise NGramError(f"{path} is made of the pieces of another vocabulary")
        try:
            levels = [_level(arrays, n) for n in range(1, len(arrays) // len(PARTS) + 1)]
        except KeyError as error:
            raise NGramError(f"{path}: {error} is missing") from error
        if not _fit(levels, vocabulary.size):
            raise NGramError(f"{path}: its arrays do not fit one another")
        return cls(levels, found)


def digest(vocabulary: Vocabulary) -> str:
    """What tells one vocabulary from another."""
    return hashlib.sha256(vocabulary.model).hexdigest()


def _level(arrays: dict[str, Array], n: int) -> Level:
    pieces, costs, backoffs, followers = (arrays[f"{name}.{n}"] for name in PARTS)
    first = np.append(0, np.cumsum(followers, dtype=np.uint32)) if len(followers) else followers
    return Level(pieces, costs, backoffs, first.astype(np.uint32))


def _fit(levels: Sequence[Level], size: int) -> bool:
    if not levels or len(levels[0].pieces) != size or len(levels[-1].first):
        return False
    if any(
        len(one.costs) != len(one.pieces) or (one.pieces >= size).any() or one.pieces.ndim != 1
        for one in levels
    ):
        return False
    for level, longer in pairwise(levels):
        count = len(level.pieces)
        if len(level.backoffs) != count or len(level.first) != count + 1:
            return False
        if level.first[-1] != len(longer.pieces):
            return False
    return True
