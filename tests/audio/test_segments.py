"""Segments of endless streams: the same for any cutting, none lost, none too long, none from a click."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtrans.audio.errors import AudioError
from streamtrans.audio.segments import Boundary, Edge, Segmentation, SpeechSegmenter

# frames of 0.1 s, to count by hand: 2 frames begin a segment, 4 of silence end one, it may have 20, with 1 at its edges
TEN = Segmentation(frame=0.1, minimum=0.2, pause=0.4, maximum=2.0, edge=0.1)
SCORES = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), max_size=120)
SPEECH = [0.9]
SILENCE = [0.0]


def run(scores: list[float], cuts: list[int] = [], s: Segmentation = TEN) -> list[Boundary]:  # noqa: B006
    segmenter, found = SpeechSegmenter(s), []
    places = [0, *sorted(min(c, len(scores)) for c in cuts), len(scores)]
    for a, b in zip(places, places[1:], strict=False):
        found += segmenter.feed(scores[a:b])
    return found + segmenter.flush()


def segments(found: list[Boundary]) -> list[tuple[int, int]]:
    assert [b.edge for b in found] == [Edge.BEGIN, Edge.END] * (len(found) // 2)
    return [(a.at, b.at) for a, b in zip(found[::2], found[1::2], strict=True)]


def test_speech_between_silence_is_a_segment() -> None:
    """With a frame at each edge; its begin is known after 2 frames of speech, its end after 4 of silence."""
    found = run(SILENCE * 5 + SPEECH * 6 + SILENCE * 9)
    assert found == [Boundary(Edge.BEGIN, 4, 7), Boundary(Edge.END, 12, 15)]


def test_a_pause_within_speech_ends_nothing() -> None:
    assert segments(run(SPEECH * 4 + SILENCE * 3 + SPEECH * 4 + SILENCE * 4)) == [(0, 12)]


def test_a_click_is_no_segment() -> None:
    assert run(SILENCE * 5 + SPEECH + SILENCE * 5) == []


def test_speech_begins_loud_and_may_go_on_faint() -> None:
    """0.4 is under `begin` and over `hold`."""
    assert run([0.4] * 15) == []
    assert segments(run([0.6] + [0.4] * 8 + SILENCE * 4)) == [(0, 10)]


def test_a_speaker_who_never_stops_is_cut_and_nothing_is_lost() -> None:
    assert segments(run(SPEECH * 50)) == [(0, 20), (20, 40), (40, 50)]


def test_a_long_segment_ends_at_a_short_pause() -> None:
    """Two frames do after 15, of the four that a short segment wants; the rest is the next one."""
    scores = SPEECH * 14 + SILENCE * 2 + SPEECH * 8
    assert segments(run(scores)) == [(0, 15), (15, 24)]
    assert [TEN.pause_after(n) for n in (1, 10, 15, 19, 20)] == [4, 4, 2, 1, 1]


def test_segments_do_not_overlap() -> None:
    """The edge of one is not the edge of the next."""
    s = Segmentation(frame=0.1, minimum=0.1, pause=0.2, maximum=2.0, edge=0.3)
    assert segments(run(SPEECH * 3 + SILENCE * 3 + SPEECH * 3, s=s)) == [(0, 5), (5, 9)]


def test_flush_keeps_what_is_too_short_to_tell() -> None:
    """The last word before a stream ends may be cut off after a frame."""
    assert segments(run(SILENCE * 5 + SPEECH)) == [(4, 6)]
    assert run(SILENCE * 5) == [] and run([]) == []


def test_after_flush_the_stream_goes_on() -> None:
    segmenter = SpeechSegmenter(TEN)
    first = segmenter.feed(SPEECH * 4) + segmenter.flush()
    second = segmenter.feed(SPEECH * 4) + segmenter.flush()
    assert segments(first) == [(0, 4)] and segments(second) == [(4, 8)]
    assert not segmenter.open and segmenter.flush() == []


@given(scores=SCORES, cuts=st.lists(st.integers(0, 120), max_size=10))
def test_any_cutting_gives_the_same_segments_at_the_same_time(
    scores: list[float], cuts: list[int]
) -> None:
    assert run(scores, cuts) == run(scores) == run(scores, list(range(120)))


@given(scores=SCORES)
def test_what_holds_for_all_segments(scores: list[float]) -> None:
    """In order, apart, at most 20 frames, and all that was spoken for 2 frames is in one."""
    found = run(scores)
    known = [b.known for b in found]
    assert known == sorted(known) and all(b.at <= b.known for b in found)
    whole = segments(found)
    places = [place for pair in whole for place in pair]
    assert places == sorted(places)
    assert all(0 < end - begin <= 20 and end <= len(scores) for begin, end in whole)
    inside = {i for begin, end in whole for i in range(begin, end)}
    for i in range(1, len(scores)):
        if scores[i - 1] >= 0.5 and scores[i] >= 0.5:
            assert {i - 1, i} <= inside


def test_memory_is_a_few_numbers() -> None:
    segmenter = SpeechSegmenter()
    segmenter.feed(SPEECH * 100_000)
    assert all(isinstance(v, int | Segmentation | None) for v in vars(segmenter).values())


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.1, math.inf])
def test_a_score_that_is_none_is_refused_and_leaves_no_trace(score: float) -> None:
    segmenter = SpeechSegmenter(TEN)
    with pytest.raises(AudioError, match="bad_samples: a speech score of"):
        segmenter.feed([1.0, 1.0, score])
    assert segmenter.feed(SILENCE * 3) == [] and segmenter.flush() == []


@pytest.mark.parametrize(
    "values", [{"hold": 0.7}, {"begin": 1.2}, {"frame": 0}, {"pause": 0.01}, {"maximum": 0.5}, {"edge": -1}]
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Segmentation(**values)
