"""Parallel text for training: read, cleaned, encoded once, and cut into batches in an order that a seed fixes.

It knows files and ids. It does not know k, models or optimizers.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from streamtrans.models.config import ConfigError
from streamtrans.text.normalize import HAN, glue, normalize
from streamtrans.text.simplified import simplified
from streamtrans.text.source import words
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.recipe import RECIPES, Corpus
from streamtrans.training.transcript import heard, spoken, transcript

_HAN = re.compile(rf"[{HAN}]")


def _open(path: Path) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def plain(source: str, target: str) -> tuple[str, str]:
    """A pair without final punctuation, the source without capitals, the target without its initial one.

    The initial of the target stays if the source has the same word (a name). A Chinese source loses all punctuation and
    the target keeps its own: Chinese has no capitals, and a translation may well have what its source only means.
    """
    if _HAN.search(source):
        return " ".join(w for w in source.lower().split() if bare(w)), target
    name = target.split()[0] in source.split()
    source, target = source.rstrip(".!?").lower(), target.rstrip(" .!?")
    return source, target if name else target[:1].lower() + target[1:]


def read_pairs(folder: Path, corpus: Corpus) -> list[tuple[str, str]]:
    """Normalised, distinct pairs, the words of a source between blanks; pairs that are too long or of very unlike
    length are left out. Raises ConfigError, SimplifiedMissing.
    """
    others = [replace(corpus, path=path) for path in corpus.without]
    held_out = {bare(source) for other in others for source, _ in _normalised(folder, other)}
    kept = dict.fromkeys(p for p in _normalised(folder, corpus) if bare(p[0]) not in held_out)
    pairs: dict[tuple[str, str], None] = {}
    for source, target in _joined(list(kept), corpus.joined):
        if corpus.plain and target:
            source, target = plain(source, target)
        if corpus.spoken:
            said = transcript(spoken(source, corpus.spoken) or "", corpus.spoken)
            source = heard(said, corpus.spoken)
        m, n = len(source.split()), len(target.split())
        if 0 < m <= corpus.words and 0 < n <= 2 * m + 5 and m <= 2 * n + 5:
            pairs[source, target] = None
    return list(pairs)


def bare(text: str) -> str:
    """Its letters and digits alone: what two spellings of one sentence share."""
    return "".join(filter(str.isalnum, text.lower()))


def _normalised(folder: Path, corpus: Corpus) -> Iterator[tuple[str, str]]:
    for source, target in _lines(folder, corpus):
        if corpus.swap:
            source, target = target, source
        if corpus.simplified:
            source = simplified(source)
        source, target = (glue(normalize(text)) for text in (source, target))
        yield " ".join(words(source)), " ".join(target.split())


def _joined(pairs: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """So many pairs, drawn from all of them, are one; each pair is in one of these. What is left over is left out."""
    if count == 1:
        return pairs
    order = np.random.default_rng(count).permutation(len(pairs))
    groups = order[: len(pairs) // count * count].reshape(-1, count)
    return [
        (" ".join(pairs[i][0] for i in group), " ".join(pairs[i][1] for i in group))
        for group in groups
    ]


def _lines(folder: Path, corpus: Corpus) -> Iterator[tuple[str, str]]:
    """The pairs as they stand in one file, or in two. Raises ConfigError."""
    number = 0
    try:
        path = folder / corpus.path
        with ExitStack() as opened:
            lines = opened.enter_context(_open(path if path.exists() else RECIPES / corpus.path))
            if corpus.target:
                targets = opened.enter_context(_open(folder / corpus.target))
                for source, target in zip(lines, targets, strict=True):
                    yield source.rstrip("\n"), target.rstrip("\n")
                return
            for line in lines:
                number += 1
                source, target = line.rstrip("\n").split("\t")[:2]
                yield source, target
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise ConfigError(f"{folder / corpus.path}: {error}") from error
    except ValueError as error:
        wrong = f"not as many lines as {corpus.path}" if corpus.target else "no TAB"
        where = corpus.target or f"{corpus.path}, line {number}"
        raise ConfigError(f"{where}: {wrong}") from error


@dataclass(frozen=True)
class Batch:
    """source: (B, S) ending in eos; shifted, target: (B, U), decoder input and what it has to predict."""

    source: Tensor
    shifted: Tensor
    target: Tensor


class Pairs:
    """Encoded pairs, flat in memory."""

    def __init__(
        self, sources: Sequence[list[int]], targets: Sequence[list[int]], eos: int
    ) -> None:
        self.lengths = np.array(
            [(len(s) + 1, len(t) + 1) for s, t in zip(sources, targets, strict=True)]
        )
        flat = [
            np.array([*s, eos, *t, eos], dtype=np.int32)
            for s, t in zip(sources, targets, strict=True)
        ]
        self.starts = np.concatenate(([0], np.cumsum(self.lengths.sum(1))))
        self.flat = np.concatenate(flat)

    @classmethod
    def encode(cls, pairs: list[tuple[str, str]], vocabulary: Vocabulary) -> Pairs:
        """Encode on all cores."""
        return cls(
            vocabulary.encode_lines([p[0] for p in pairs]),
            vocabulary.encode_lines([p[1] for p in pairs]),
            vocabulary.eos,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: np.ndarray, bos: int, pad: int) -> Batch:
        """Padded tensors of some pairs."""
        longest = self.lengths[rows].max(0)
        source = np.full((len(rows), longest[0]), pad, dtype=np.int64)
        target = np.full((len(rows), longest[1]), pad, dtype=np.int64)
        for i, row in enumerate(rows):
            m, n = self.lengths[row]
            start = self.starts[row]
            source[i, :m] = self.flat[start : start + m]
            target[i, :n] = self.flat[start + m : start + m + n]
        shifted = np.concatenate((np.full((len(rows), 1), bos), target[:, :-1]), axis=1)
        return Batch(*(torch.from_numpy(x) for x in (source, shifted, target)))


def cut(
    lengths: np.ndarray, order: np.ndarray, tokens: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut an order of pairs into batches of at most `tokens` target pieces, alike in length to waste no padding.

    Pairs are sorted within pools of some hundred batches, so that an epoch stays mixed.
    """
    batches: list[np.ndarray] = []
    pool = max(1, 200 * tokens // 16)
    for some in range(0, len(order), pool):
        rows = order[some : some + pool]
        rows = rows[np.lexsort((lengths[rows, 0], lengths[rows, 1]))]
        start, widest = 0, 0
        for i, row in enumerate(rows):
            wider = max(widest, int(lengths[row].max()))
            if i > start and (i + 1 - start) * wider > tokens:
                batches.append(rows[start:i])
                start, wider = i, int(lengths[row].max())
            widest = wider
        batches.append(rows[start:])
    rng.shuffle(batches)
    return batches


def endless(
    pairs: Sequence[Pairs], repeats: Sequence[int], tokens: int, seed: int, skip: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(corpus, rows) of each step for ever, from step `skip` on; the same for the same seed."""
    step, epoch = 0, 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        plan: list[tuple[int, np.ndarray]] = []
        for number, (corpus, repeat) in enumerate(zip(pairs, repeats, strict=True)):
            for _ in range(repeat):
                order = rng.permutation(len(corpus))
                plan += [(number, rows) for rows in cut(corpus.lengths, order, tokens, rng)]
        for i in rng.permutation(len(plan)):
            if step >= skip:
                yield plan[i]
            step += 1
        epoch += 1
