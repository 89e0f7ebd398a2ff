"""Normalized erasure (NE): how much of what was shown had to be taken back.

It knows displays, lists of the words shown at one time. Output that is only ever appended to has NE 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


def erased(before: Sequence[str], after: Sequence[str]) -> int:
    """Words taken back from one display to the next: |o_{i-1}| - |LCP(o_i, o_{i-1})|, LCP the longest common prefix."""
    pairs = zip(before, after, strict=False)
    return len(before) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def normalized_erasure(erasures: int, words: int) -> float | None:
    """NE = 1/|o_I| sum_{i>=2} (|o_{i-1}| - |LCP(o_i, o_{i-1})|), Arivazhagan et al. 2020 (re-translation).

    erasures: the sum, over all displays of a stream or a corpus; words: those of the final translations. None without
    words.
    """
    return erasures / words if words else None
