"""Average Token Delay (ATD): how long after its source unit a target unit has been said.

It knows the definition that SimulEval 1.1.4 computes. It does not know which source word a target word translates:
units are matched by position, chunk by chunk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from streamtrans.evaluation.delays import DelayError, Delays, check, check_order


@dataclass(frozen=True, slots=True)
class Units:
    """How long one source unit and one target unit take, in the unit of the delays."""

    source: float
    target: float

    def __post_init__(self) -> None:
        if not (self.source > 0 and self.target >= 0):
            raise DelayError(
                f"a source unit must last longer than 0, a target unit 0 or more: {self}"
            )


TEXT = Units(1, 1)  # source words: each takes one unit of time to be said, in both languages
SPEECH = Units(300, 0)  # ms: speech is cut into 300 ms for a word; text appears at once


def average_token_delay(sentence: Delays, units: Units = TEXT) -> float:
    """ATD = 1/|Y| sum_t [T(y_t) - T(x_a(t))], Kano et al. 2023, as SimulEval 1.1.4 computes it.

    Target units with one delay form a chunk, written after the source chunk that was READ since the delay before. T is
    the time at which a unit ends: source units follow one another without a gap (the last of a chunk may be shorter);
    a target unit starts when it is committed and the one before has ended. a(t) = t, or less by the units that earlier
    target chunks are ahead of their source, and never beyond what was READ. Reference and source length do not count.

    Computation-aware with `sentence.clock`: a target unit starts at t_i, not at d_i. With target units of no length,
    this is what SimulEval computes from elapsed times that add up c_i = t_i - max(d_i, t_{i-1}).

    Raises `DelayError` as `average_lagging` does, and for a clock of another length than the delays.
    """
    check(sentence.delays, sentence.source_length, sentence.reference_length)
    source = _Source(units.source)
    times = iter(_starts(sentence))
    written = 0
    said = 0.0  # T of the target unit before
    lags: list[float] = []
    for delay, chunk in groupby(sentence.delays):
        ahead = max(0, written - source.units)
        source.read(delay)
        for _ in chunk:
            written += 1
            said = max(next(times), said) + units.target
            lags.append(said - source.end(min(written - ahead, source.units)))
    return sum(lags) / len(lags)


class _Source:
    """What was READ, cut into units from the beginning of each chunk; the last unit of a chunk may be shorter."""

    def __init__(self, unit: float) -> None:
        self._unit = unit
        self._counts, self._ends = [0], [0.0]  # at the end of each chunk: units, time

    @property
    def units(self) -> int:
        """How many units were READ."""
        return self._counts[-1]

    def read(self, until: float) -> None:
        """READ one more chunk."""
        whole, rest = divmod(until - self._ends[-1], self._unit)
        self._counts.append(self.units + int(whole) + (rest > 0))
        self._ends.append(until)

    def end(self, number: int) -> float:
        """T of a unit, from 1; 0 for 0."""
        chunk = bisect_left(self._counts, number)
        if not chunk:
            return 0.0
        before = number - self._counts[chunk - 1]
        return min(self._ends[chunk - 1] + before * self._unit, self._ends[chunk])


def _starts(sentence: Delays) -> Sequence[float]:
    """When each target unit may start."""
    times = sentence.times
    if len(times) != len(sentence.delays):
        raise DelayError(f"{len(times)} clock times for {len(sentence.delays)} delays")
    check_order(times)
    return times
