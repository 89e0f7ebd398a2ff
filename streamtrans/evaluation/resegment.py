"""The output for a long recording, cut into the sentences of its reference (Matusov et al. 2005, mwerSegmenter).

It knows words of both sides. It does not know times: a word may be given to a later sentence than it was said in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def cut(words: Sequence[str], references: Sequence[Sequence[str]]) -> list[int]:
    """Where each reference ends in `words`: the last is len(words), none is under the one before it.

    Of all ways to cut, one with the fewest edits between the parts and their references, which is as many as there are
    between the two wholes. Case and punctuation count for nothing, unless a word has nothing else. A superfluous word
    between two sentences goes with the one before. Time and memory O(len(words) * reference words).
    """
    hypothesis = [_plain(word) for word in words]
    whole = [_plain(word) for reference in references for word in reference]
    back = _alignment(hypothesis, whole)
    reached = [0] * (len(whole) + 1)  # hypothesis words up to the end of each reference word
    i, j = len(whole), len(hypothesis)
    while i > 0 or j > 0:
        reached[i] = max(reached[i], j)
        step = back[i, j]
        i, j = i - (step != INSERTED), j - (step != DELETED)
    ends, count = [], 0
    for reference in references:
        count += len(reference)
        ends.append(reached[count])
    return [*ends[:-1], len(words)] if ends else []


MATCHED, DELETED, INSERTED = 0, 1, 2  # how the last step of an alignment came to a cell


def _alignment(hypothesis: Sequence[str], reference: Sequence[str]) -> NDArray[np.int8]:
    """(R + 1, H + 1): the last step of a cheapest alignment of each pair of beginnings, Levenshtein 1966."""
    ids = {word: number for number, word in enumerate({*hypothesis, *reference})}
    heard = np.array([ids[word] for word in hypothesis], dtype=np.int64)
    columns = np.arange(len(heard) + 1)
    back = np.full((len(reference) + 1, len(heard) + 1), INSERTED, dtype=np.int8)
    costs = columns.copy()
    for i, word in enumerate(reference, start=1):
        deleted = costs + 1
        matched = np.append(deleted[0], costs[:-1] + (heard != ids[word]))
        best = np.minimum(matched, deleted)
        # insertions run along the row: min over k <= j of best[k] + (j - k)
        costs = np.minimum.accumulate(best - columns) + columns
        back[i, costs == deleted] = DELETED
        back[i, costs == matched] = MATCHED
        back[i, 0] = DELETED
    return back


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum()) or word
