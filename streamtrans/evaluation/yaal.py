"""YAAL and LongYAAL, the lag of the words that were written simultaneously, and the check for degenerate policies.

It knows the definitions of Polák et al. 2025 ("Better Late Than Never"), as their tool OmniSTEval 0.1.10 computes them.
It does not cut the output for a recording into its sentences, which LongYAAL needs: that is OmniSTEval's work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from streamtrans.evaluation.delays import Delays, check, check_lengths, check_order

SUSPICIOUS = 20.0  # points between SWF and EFSW from which a policy counts as degenerate


def yaal(
    delays: Sequence[float], source_length: float, reference_length: int | None = None
) -> float | None:
    """YAAL = 1/tau sum_{i<=tau} [d_i - (i-1) |X|/max(|Y|, |Y*|)] over the words with d_i < |X|.

    LAAL without the words that come when the source is over, which say nothing about the policy. None if there are
    no others. Raises `DelayError` as `average_lagging` does.
    """
    check(delays, source_length, reference_length)
    return _lag_until(source_length, delays, source_length, reference_length)


def long_yaal(
    delays: Sequence[float],
    source_length: float,
    reference_length: int | None = None,
    recording_end: float = math.inf,
) -> float | None:
    """LongYAAL of one sentence of a recording: YAAL over the words committed before the recording's end.

    Delays and `recording_end` count from the beginning of the sentence, so a word given to a later sentence than it was
    committed in has a negative delay. |X| is the sentence's length. None if no word counts. Raises `DelayError` as YAAL
    does, but takes negative delays.
    """
    check_lengths(source_length, reference_length)
    check_order(delays)
    return _lag_until(recording_end, delays, source_length, reference_length)


@dataclass(frozen=True, slots=True)
class Simultaneity:
    """How much is written while the source goes on, in percent, and how much the lag lets one expect.

    swf: simultaneous words fraction, the share of all words with d_i < |X|. efsw: expected fraction of simultaneous
    words, sum max(0, |X| - YAAL) / sum |X| over the sentences that have a YAAL; None if none has.
    """

    swf: float
    efsw: float | None

    @property
    def degenerate(self) -> bool:
        """Do they differ by over 20 points? A little early and the rest at the end looks fast, and is not."""
        return self.efsw is not None and abs(self.efsw - self.swf) > SUSPICIOUS


def simultaneity(sentences: Iterable[Delays]) -> Simultaneity:
    """Over a corpus, Polák et al. 2025; each word weighs the same. Empty hypotheses do not count.

    Raises `DelayError` as YAAL does.
    """
    early = words = 0
    ahead = source = 0.0
    for sentence in sentences:
        length = sentence.source_length
        if not sentence.delays:
            continue
        words += len(sentence.delays)
        early += sum(delay < length for delay in sentence.delays)
        lag = yaal(sentence.delays, length, sentence.reference_length)
        if lag is not None:
            ahead += max(0.0, length - lag)
            source += length
    return Simultaneity(
        100 * early / words if words else 0.0, 100 * ahead / source if source else None
    )


def _lag_until(
    end: float, delays: Sequence[float], source_length: float, reference_length: int | None
) -> float | None:
    """Mean lag of the words before `end`, for checked input."""
    pace = source_length / max(len(delays), reference_length or 0)
    lags = [d - i * pace for i, d in enumerate(takewhile(lambda delay: delay < end, delays))]
    return math.fsum(lags) / len(lags) if lags else None
