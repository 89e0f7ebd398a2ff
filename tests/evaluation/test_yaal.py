"""YAAL, LongYAAL and the check for degenerate policies are what OmniSTEval 0.1.10 computes."""

from __future__ import annotations

import math

import golden
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamtrans.evaluation.delays import DelayError, Delays
from streamtrans.evaluation.latency import corpus_latency
from streamtrans.evaluation.yaal import long_yaal, simultaneity, yaal

SENTENCES = golden.WORDS | golden.SPEECH
# Words that were given to a later sentence than they were spoken in have negative delays.
EMISSIONS = st.lists(st.floats(-20_000, 40_000), min_size=1, max_size=40).map(sorted)


@golden.DETERMINISTIC
@given(SENTENCES)
def test_yaal_is_what_omnisteval_says(sentence: Delays) -> None:
    ours = yaal(sentence.delays, sentence.source_length, sentence.reference_length)
    assert golden.agree(ours, golden.omnisteval(sentence))


@golden.DETERMINISTIC
@given(EMISSIONS, st.floats(1, 15_000), golden.REFERENCES, st.floats(1, 60_000) | st.just(math.inf))
def test_long_yaal_is_what_omnisteval_says(
    emissions: list[float], length: float, reference: int | None, end: float
) -> None:
    ours = long_yaal(emissions, length, reference, end)
    assert golden.agree(ours, golden.omnisteval(Delays(emissions, length, reference), end))


@golden.DETERMINISTIC
@given(st.lists(SENTENCES, min_size=1, max_size=8))
def test_a_corpus_is_what_omnisteval_says(sentences: list[Delays]) -> None:
    theirs = golden.omnisteval_corpus(sentences)
    ours, latency = simultaneity(sentences), corpus_latency(sentences)
    assert golden.agree(ours.swf, theirs["swf"])
    if math.isnan(theirs["yaal"]):
        assert latency.yaal is None and ours.efsw is None and math.isnan(theirs["efsw"])
        return
    assert golden.agree(latency.yaal, theirs["yaal"])
    assert golden.agree(ours.efsw, theirs["efsw"])
    assume(abs(abs(theirs["dsptv"]) - 20) > 1e-9)
    assert ours.degenerate == bool(theirs["degenerate_policy"])


def test_by_hand() -> None:
    """|X| = 4, |Y| = 5, |Y*| = 2: pace 4/5; words 1 to 3 come early and lag 1, 2 - 0.8, 3 - 1.6."""
    assert yaal([1, 2, 3, 4, 4], 4, 2) == pytest.approx((1 + 1.2 + 1.4) / 3)
    assert yaal([4, 4], 4) is None
    # beyond the sentence's end, up to the recording's
    assert long_yaal([-1, 2, 5, 9], 4, 4, recording_end=9) == pytest.approx((-1 + 1 + 3) / 3)
    assert long_yaal([9], 4, recording_end=9) is None


def test_a_little_early_and_the_rest_at_the_end_is_degenerate() -> None:
    """YAAL sees one word, and that came at once; nine of ten words waited for the end."""
    late, steady = Delays([1, *[10] * 9], 10, 10), Delays(range(1, 11), 10, 10)
    assert yaal(late.delays, 10, 10) == yaal(steady.delays, 10, 10) == 1
    found = simultaneity([late])
    assert (found.swf, found.efsw, found.degenerate) == (10, 90, True)
    found = simultaneity([steady])
    assert (found.swf, found.efsw, found.degenerate) == (90, 90, False)


def test_waiting_for_the_end_is_honest() -> None:
    found = simultaneity([Delays([3, 3], 3), Delays([], 3)])
    assert (found.swf, found.efsw, found.degenerate) == (0, None, False)
    assert simultaneity([]).swf == 0


def test_what_cannot_be_meant_is_named() -> None:
    for metric in (yaal, long_yaal):
        with pytest.raises(DelayError, match="empty hypothesis"):
            metric([], 3)
        with pytest.raises(DelayError, match="must not decrease"):
            metric([2, 1], 3)
        with pytest.raises(DelayError, match="source_length"):
            metric([1], 0)
    with pytest.raises(DelayError, match="not negative"):
        yaal([-1, 2], 3)
