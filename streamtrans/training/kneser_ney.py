"""From counts to an n-gram model: interpolated modified Kneser-Ney, mixtures, pruning (Chen & Goodman 1999).

An n-gram is one whole number, BITS to a piece, so that sorted arrays of numbers are all there is: the context of an
n-gram is its number shifted, its shorter form the number without the first piece. A line begins with bos, which is a
context and never predicted; a line's end is not predicted either, because a stream does not say where it will end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamtrans.models.ngram import NEVER, STEP, Level
from streamtrans.text.vocabulary import Vocabulary

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

BITS = 12
LONGEST = 63 // BITS
BOS = Vocabulary.bos
SPOKEN = Vocabulary.eos + 1  # the first piece that a text may have
FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts give none (as KenLM has them)


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length. keys: (N,) sorted; p: (N,) of the last piece after the others; backoff: (N,) the
    weight of what is shorter where it is a context, 1 where it is none; share: (N,) of the text.
    """

    keys: Numbers
    p: Reals
    backoff: Reals
    share: Reals


Model = list[Grams]  # by length; the first has every piece


def estimate(lines: Sequence[Sequence[int]], size: int, order: int) -> Model:
    """A model of some lines of pieces, `size` of them in all. ValueError: too many for BITS, or nothing to count."""
    if size > 1 << BITS or not 1 <= order <= LONGEST:
        raise ValueError(f"{size} pieces in n-grams of {order}: at most {1 << BITS} and {LONGEST}")
    if not any(lines):
        raise ValueError("no text to count n-grams in")
    flat, place = _flat(lines)
    counts = [_count(flat, place, n) for n in range(1, order + 1)]
    model: Model = [_single(*_adjusted(counts, 1), counts[0], size)]
    for n in range(2, order + 1):
        keys, adjusted = _adjusted(counts, n)
        p, contexts, weights = _discounted(keys, adjusted)
        shorter, below = _shorter(keys, n), model[-1]
        own = np.searchsorted(contexts, keys >> BITS)
        p += weights[own] * below.p[np.searchsorted(below.keys, shorter)]
        below.backoff[np.searchsorted(below.keys, contexts)] = weights
        model.append(Grams(keys, p, np.ones(len(keys)), counts[n - 1][1] / len(flat)))
    return model


def mix(models: Sequence[Model], weights: Sequence[float], limit: int) -> Model:
    """The weighted mean of some models, in the `limit` n-grams (and their contexts) that say most of the text.

    Any n-gram that is left out costs its share of the text times the ratio of its probability to what takes its place
    (Seymore & Rosenfeld 1996). Backoff weights are then made so that each context sums to 1.
    """
    total = sum(weights)
    mixed: Model = []
    for n in range(1, len(models[0]) + 1):
        keys = np.unique(np.concatenate([model[n - 1].keys for model in models]))
        p, share = np.zeros(len(keys)), np.zeros(len(keys))
        for model, weight in zip(models, weights, strict=True):
            p += weight / total * probability(model, keys, n)
            share += weight / total * _found(model[n - 1].keys, model[n - 1].share, keys, 0.0)
        mixed.append(Grams(keys, p, np.ones(len(keys)), share))
    _balance(mixed)
    return _kept(mixed, limit)


def probability(model: Model, keys: Numbers, n: int) -> Reals:
    """p of the last piece of each n-gram after the others: (N,)."""
    own = model[n - 1]
    if n == 1:
        return _found(own.keys, own.p, keys, 0.0)
    p = probability(model, _shorter(keys, n), n - 1)
    p *= _found(model[n - 2].keys, model[n - 2].backoff, keys >> BITS, 1.0)
    return _found(own.keys, own.p, keys, p)


def levels(model: Model) -> list[Level]:
    """The model as it is stored and used."""
    stored = []
    for n, grams in enumerate(model, 1):
        with np.errstate(divide="ignore"):
            costs = np.minimum(np.rint(-np.log(grams.p) / STEP), NEVER - 1)
        costs[grams.p == 0] = NEVER
        backoffs, first = np.zeros(0), np.zeros(0)
        if n < len(model):
            contexts = model[n].keys >> BITS
            backoffs = np.rint(np.log(grams.backoff) / STEP).clip(-127, 127)
            first = np.append(np.searchsorted(contexts, grams.keys), len(contexts))
        pieces = grams.keys & (1 << BITS) - 1
        kinds = ((pieces, np.uint16), (costs, np.uint8), (backoffs, np.int8), (first, np.uint32))
        stored.append(Level(*(values.astype(kind) for values, kind in kinds)))
    return stored


def _flat(lines: Sequence[Sequence[int]]) -> tuple[Numbers, Numbers]:
    """All pieces, bos before each line, and the place of each in its line."""
    lengths = np.array([len(line) + 1 for line in lines])
    starts = np.cumsum(lengths) - lengths
    flat = np.full(int(lengths.sum()), BOS, np.int64)
    place = np.arange(len(flat)) - np.repeat(starts, lengths)
    flat[place > 0] = np.fromiter((p for line in lines for p in line), np.int64)
    return flat, place


def _count(flat: Numbers, place: Numbers, n: int) -> tuple[Numbers, Numbers]:
    """The n-grams, sorted, and how often each is there."""
    count = max(0, len(flat) - n + 1)
    keys = np.zeros(count, np.int64)
    for i in range(n):
        keys = keys << BITS | flat[i : count + i]
    whole = place[n - 1 :] >= max(1, n - 1)
    found: tuple[Numbers, Numbers] = np.unique(keys[whole], return_counts=True)
    return found


def _adjusted(counts: Sequence[tuple[Numbers, Numbers]], n: int) -> tuple[Numbers, Numbers]:
    """Counts of the longest n-grams and of those that begin a line; of others, how many pieces come before them."""
    keys, raw = counts[n - 1]
    if n == len(counts):
        return keys, raw
    shorter, before = np.unique(_shorter(counts[n][0], n + 1), return_counts=True)
    return keys, _found(shorter, before, keys, raw)


def _discounted(keys: Numbers, counts: Numbers) -> tuple[Reals, Numbers, Reals]:
    """The discounted share of each n-gram in its context, the contexts, and what is left of each to shorter n-grams."""
    contexts, own = np.unique(keys >> BITS, return_inverse=True)
    taken = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
    taken = np.minimum(taken, counts)
    totals = np.bincount(own, counts)
    return (counts - taken) / totals[own], contexts, np.bincount(own, taken) / totals


def _discounts(counts: Numbers) -> tuple[float, ...]:
    """D1, D2 and D3+ (Chen & Goodman 1999, eq. 26)."""
    n1, n2, n3, n4 = (int((counts == i).sum()) for i in range(1, 5))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return found if all(0 <= d <= i for i, d in enumerate(found, 1)) else FALLBACK


def _single(keys: Numbers, adjusted: Numbers, raw: tuple[Numbers, Numbers], size: int) -> Grams:
    """All pieces; what is discounted goes to them evenly."""
    found, _, (left,) = _discounted(keys, adjusted)
    p, share = np.zeros(size), np.zeros(size)
    p[SPOKEN:] = left / (size - SPOKEN)
    p[keys] += found
    share[keys] = raw[1] / raw[1].sum()
    return Grams(np.arange(size), p, np.ones(size), share)


def _balance(model: Model) -> None:
    """Backoff weights: what the known n-grams of a context leave, over what shorter ones would have given to others."""
    for n in range(2, len(model) + 1):
        keys, below = model[n - 1].keys, model[n - 2]
        contexts, own = np.unique(keys >> BITS, return_inverse=True)
        left = 1 - np.bincount(own, model[n - 1].p)
        others = 1 - np.bincount(own, probability(model, _shorter(keys, n), n - 1))
        weights = np.maximum(left, 1e-6) / np.maximum(others, 1e-6)
        below.backoff[:] = 1
        below.backoff[np.searchsorted(below.keys, contexts)] = weights


def _kept(model: Model, limit: int) -> Model:
    losses = [np.full(len(model[0].keys), np.inf)]
    for n in range(2, len(model) + 1):
        grams, below = model[n - 1], model[n - 2]
        instead = probability(model, _shorter(grams.keys, n), n - 1)
        instead *= _found(below.keys, below.backoff, grams.keys >> BITS, 1.0)
        losses.append(grams.share * np.log(grams.p / instead))
    every = np.concatenate(losses)
    least = np.partition(every, -limit)[-limit] if limit < len(every) else -np.inf
    keep: list[Flags] = [loss >= least for loss in losses]
    for n in range(len(model), 1, -1):  # a context stays as long as something follows it
        contexts = model[n - 1].keys[keep[n - 1]] >> BITS
        keep[n - 2][np.searchsorted(model[n - 2].keys, contexts)] = True
    kept = [
        Grams(g.keys[flags], g.p[flags], g.backoff[flags], g.share[flags])
        for g, flags in zip(model, keep, strict=True)
    ]
    _balance(kept)
    return kept


def _shorter(keys: Numbers, n: int) -> Numbers:
    """Without their first piece."""
    return keys & (1 << BITS * (n - 1)) - 1


def _found(there: Numbers, values: Any, keys: Numbers, otherwise: Any) -> Any:
    """For each key its value, or what it has otherwise."""
    if not len(there):
        return otherwise
    at = np.minimum(np.searchsorted(there, keys), len(there) - 1)
    return np.where(there[at] == keys, values[at], otherwise)
