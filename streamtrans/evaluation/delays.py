"""The delays of one sentence, and what makes them unfit to compute a latency from.

Notation of all latency files: X source, Y* reference, Y hypothesis; d_i is the source consumed when target unit i was
committed. Delays, clock and source length share one unit (source words, or ms); |Y*| and |Y| count target units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


class DelayError(ValueError):
    """Delays, lengths or a corpus that no latency can be computed from."""


@dataclass(frozen=True, slots=True)
class Delays:
    """One sentence: its delays d_1..d_|Y|, |X| in the same unit, and |Y*| (None: take |Y|).

    clock: t_1..t_|Y|, when each target unit was out by a clock that counts the work as well (computation-aware), from
    the beginning of the source; None: the work takes no time, t_i = d_i.
    """

    delays: Sequence[float]
    source_length: float
    reference_length: int | None = None
    clock: Sequence[float] | None = None

    @property
    def times(self) -> Sequence[float]:
        """t_i, or d_i where there is no clock."""
        return self.delays if self.clock is None else self.clock


def check(delays: Sequence[float], source_length: float, reference_length: int | None) -> None:
    """Raises `DelayError` for an empty hypothesis, for delays that are negative, decreasing or not finite, and for a
    length that is not positive and finite."""
    check_lengths(source_length, reference_length)
    check_order(delays)
    if delays[0] < 0:
        raise DelayError(f"delay d_1 must be finite and not negative, not {delays[0]}")


def check_lengths(source_length: float, reference_length: int | None) -> None:
    """Raises `DelayError` for a length that is not positive and finite."""
    if not (math.isfinite(source_length) and source_length > 0):
        raise DelayError(f"source_length must be positive and finite, not {source_length}")
    if reference_length is not None and reference_length <= 0:
        raise DelayError(f"reference_length must be positive or None, not {reference_length}")


def check_order(delays: Sequence[float]) -> None:
    """Raises `DelayError` for an empty hypothesis and for delays that decrease or are not finite."""
    if len(delays) == 0:
        raise DelayError("an empty hypothesis has no delays, so its latency is undefined")
    for i, delay in enumerate(delays, start=1):
        if not math.isfinite(delay):
            raise DelayError(f"delay d_{i} must be finite and not negative, not {delay}")
    for i, (before, after) in enumerate(pairwise(delays), start=2):
        if after < before:
            raise DelayError(f"delays must not decrease, but d_{i} = {after} follows {before}")
