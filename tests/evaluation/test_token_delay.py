"""ATD is what SimulEval 1.1.4 computes: for text in words, for speech in ms, and with the work counted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import golden
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtrans.evaluation.delays import DelayError, Delays
from streamtrans.evaluation.latency import corpus_latency
from streamtrans.evaluation.token_delay import SPEECH, TEXT, Units, average_token_delay


@golden.DETERMINISTIC
@given(golden.WORDS)
def test_text_is_what_simuleval_says(sentence: Delays) -> None:
    theirs = golden.simuleval_text("ATD", [sentence])
    assert golden.agree(average_token_delay(sentence, TEXT), theirs)


@golden.DETERMINISTIC
@given(golden.SPEECH)
def test_speech_is_what_simuleval_says(sentence: Delays) -> None:
    theirs = golden.simuleval("ATD", [sentence])
    assert golden.agree(average_token_delay(sentence, SPEECH), theirs)


def clocked(delays: Sequence[float], work: Sequence[float]) -> tuple[list[float], list[float]]:
    """t_i = max(d_i, t_{i-1}) + c_i, and SimulEval's elapsed times, which add up c_i and never overlap it."""
    out = 0.0
    times = [out := max(delay, out) + cost for delay, cost in zip(delays, work, strict=True)]
    return times, [d + total for d, total in zip(delays, accumulate(work), strict=True)]


@golden.DETERMINISTIC
@given(golden.SPEECH, st.data())
def test_computation_aware_is_what_simuleval_says(sentence: Delays, data: st.DataObject) -> None:
    count = len(sentence.delays)
    costs = st.lists(st.floats(1, 3000), min_size=count, max_size=count)
    times, elapsed = clocked(sentence.delays, data.draw(costs))
    ours = average_token_delay(replace(sentence, clock=times), SPEECH)
    theirs = golden.simuleval("ATD", [replace(sentence, clock=elapsed)], computation_aware=True)
    assert golden.agree(ours, theirs)


@golden.DETERMINISTIC
@given(st.lists(golden.WORDS, min_size=1, max_size=8))
def test_a_corpus_is_what_simuleval_says(sentences: list[Delays]) -> None:
    """AL, LAAL, AP and DAL of the same sentences as well."""
    latency = corpus_latency(sentences)
    for name in ("AL", "LAAL", "AP", "DAL", "ATD"):
        theirs = golden.simuleval_text(name, sentences)
        assert golden.agree(getattr(latency, name.lower()), theirs), name


@golden.DETERMINISTIC
@given(st.lists(golden.SPEECH, min_size=1, max_size=8))
def test_a_corpus_of_speech_is_what_simuleval_says(sentences: list[Delays]) -> None:
    latency = corpus_latency(sentences, SPEECH)
    for name in ("AL", "LAAL", "AP", "DAL", "ATD"):
        theirs = golden.simuleval(name, sentences)
        assert golden.agree(getattr(latency, name.lower()), theirs), name


def test_by_hand() -> None:
    """700 ms are three units of source, which end at 300, 600 and 700; the next 300 ms are a fourth, up to 1000.

    The first four words stand against x_1, x_2, x_3 and x_3: no more was READ. So they are one ahead, and the fifth
    word stands against x_4. The sixth does too: there is no x_5.
    """
    sentence = Delays([700, 700, 700, 700, 1000, 1000], 1000)
    lags = [700 - 300, 700 - 600, 0, 0, 0, 0]
    assert average_token_delay(sentence, SPEECH) == pytest.approx(sum(lags) / 6)


@pytest.mark.parametrize("clock", [[1.0], [1.0, 2.0, 3.0]])
def test_a_clock_of_other_words_is_named(clock: list[float]) -> None:
    with pytest.raises(DelayError, match=f"{len(clock)} clock times for 2 delays"):
        average_token_delay(Delays([1, 2], 3, clock=clock))


def test_what_cannot_be_meant_is_named() -> None:
    with pytest.raises(DelayError, match="empty hypothesis"):
        average_token_delay(Delays([], 3))
    with pytest.raises(DelayError, match="must not decrease"):
        average_token_delay(Delays([1, 2], 3, clock=[2.0, 1.0]))
    with pytest.raises(DelayError, match="longer than 0"):
        Units(0, 1)
