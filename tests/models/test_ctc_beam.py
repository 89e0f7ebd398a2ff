"""Beam search over labels: against all paths of tiny streams, in any cutting, nothing revised, a bounded state."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby, product

import fakes
import numpy as np
import pytest
from fakes import spoken_vocabulary as vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.models.config import ConfigError
from streamtrans.models.ctc import CTCWords, HeardWord
from streamtrans.models.ctc_beam import BeamConfig, BeamWords, Frame
from streamtrans.models.ngram import NGrams
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import WORD_PIECES
from streamtrans.training.language_model import build

CONFIG = SpeechEncoderConfig(subsampling=8, ahead=2, chunk=4)  # 80 ms frames, two states late
WIDE = dict(narrow=0, labels=60, floor=0, bound=10**7, weight=0.6, bonus=1)


def search(beam: BeamConfig = BeamConfig(), model: NGrams | None = None) -> BeamWords:  # noqa: B008
    return BeamWords(vocabulary(), CONFIG, "en", model or fakes.language_model(), beam)


def stream(
    count: int, seed: int, labels: Sequence[int] = range(4, 60), sharp: float = 3
) -> list[Frame]:
    """Frames at random, blank more often than not."""
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for _ in range(count):
        scores = np.exp(sharp * rng.normal(size=len(labels) + 1))
        scores[0] *= 5 ** rng.integers(3)
        blank, *others = (scores / scores.sum()).tolist()
        likeliest = sorted(zip(labels, others, strict=True), key=lambda pair: -pair[1])
        frames.append((blank, likeliest[:8]))
    return frames


def texts(words: Sequence[HeardWord]) -> list[str]:
    return [word.text for word in words]


def by_all_paths(frames: list[Frame], weight: float, bonus: float) -> dict[str, float]:
    """How likely each text is, from every path there is (Graves et al. 2006, eq. 3) and the language model."""
    rows: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(*([(0, blank), *labels] for blank, labels in frames)):
        pieces = tuple(label for label, _ in groupby(label for label, _ in path) if label)
        rows[pieces] += math.prod(p for _, p in path)
    model, chances = fakes.language_model(), {}
    for pieces, p in rows.items():
        whole = (2, *pieces)
        nats = sum(
            float(model.row(whole[max(0, at - model.order + 1) : at])[whole[at]])
            for at in range(1, len(whole))
        )
        chances[vocabulary().decode(pieces)] = p * math.exp(weight * nats + bonus * len(pieces))
    assert len(chances) == len(rows)
    return chances


def letters() -> list[int]:
    """Three single letters that end no word: different rows of them are different texts."""
    pieces = [p for p in range(4, 60) if not vocabulary().ends_word[p]]
    return [p for p in pieces if len(vocabulary().decode([p])) == 1][:3]


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_the_likeliest_text_and_a_narrow_one_beats_greedy(seed: int) -> None:
    frames = stream(6, seed, letters(), sharp=1)
    chances = by_all_paths(frames, 0.6, 1)
    wide, narrow = (search(BeamConfig(size=size, **WIDE)) for size in (10**6, 4))
    assert not wide.feed(frames) and wide.open == max(chances, key=lambda text: chances[text])
    greedy = CTCWords(vocabulary(), CONFIG, "en")
    greedy.feed([max([(blank, 0), *((p, i) for i, p in some)])[1] for blank, some in frames])
    assert not narrow.feed(frames) and chances[narrow.open] >= chances[greedy.open]


def test_the_probabilities_are_those_of_all_paths() -> None:
    """Not only the best text but the order of many: what a merge forgets or counts twice would change it."""
    frames = stream(5, 3, letters(), sharp=1)
    chances = by_all_paths(frames, 0.6, 1)
    ranked = sorted(chances, key=lambda text: -chances[text])
    wide = search(BeamConfig(size=10**6, **WIDE))
    wide.feed(frames)
    found = {vocabulary().decode(p): h.blank + h.said for p, h in wide.hypotheses.items()}
    assert list(found)[:50] == ranked[:50] and len(found) == len(chances)
    for one in ranked:
        assert math.isclose(found[one], chances[one] / chances[ranked[0]], rel_tol=1e-9)


def certain(labels: Sequence[int]) -> list[Frame]:
    """Frames that leave no doubt."""
    return [(1.0, []) if not label else (0.0, [(label, 1.0)]) for label in labels]


LABELS = st.lists(st.sampled_from([0, 0, *range(4, 60)]), max_size=60)


@given(LABELS)
def test_without_doubt_words_and_times_are_those_of_greedy_search_at_once(
    labels: list[int],
) -> None:
    greedy, beam = CTCWords(vocabulary(), CONFIG, "en"), search()
    for label, frame in zip(labels, certain(labels), strict=True):
        assert beam.feed([frame]) == greedy.feed([label]) and beam.open == greedy.open
    assert beam.flush() == greedy.flush()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_any_cutting_gives_the_same_words_and_times(seed: int, sizes: list[int]) -> None:
    frames = stream(60, seed)
    whole, cut = search(), search()
    heard, at = [], 0
    for size in sizes:
        heard += cut.feed(frames[at : at + size])
        at += size
    assert heard == whole.feed(frames) and cut.open == whole.open and cut.flush() == whole.flush()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 12))
def test_a_word_is_said_within_the_bound_and_what_is_open_goes_on_from_there(
    seed: int, bound: int
) -> None:
    """What was committed plus what is open is always one hypothesis, the likeliest; times never fall."""
    words, heard = search(BeamConfig(bound=80 * bound)), []
    for count, frame in enumerate(stream(80, seed), 1):
        for word in words.feed([frame]):
            heard.append(word)
        for pieces, one in words.hypotheses.items():
            assert len(pieces) == len(one.frames) and list(one.frames) == sorted(set(one.frames))
            assert len(pieces) <= bound + WORD_PIECES
        best = next(iter(words.hypotheses))
        ends = [
            f
            for p, f in zip(best, words.hypotheses[best].frames, strict=True)
            if vocabulary().ends_word[p]
        ]
        assert all(frame > count - 1 - bound for frame in ends)
    heard += words.flush()
    assert all(0 <= w.begin <= w.end <= 80 * 80 for w in heard)
    assert all(a.end <= b.end for a, b in zip(heard, heard[1:], strict=False))


def test_a_word_waits_for_doubt_to_go() -> None:
    """Two words sound alike; the third frame's evidence decides, and the loser is forgotten."""
    one, other, third = (vocabulary().encode(word) for word in ("the", "or", "and"))
    assert len(one) == len(other) == len(third) == 1
    words = search(BeamConfig(weight=0, bonus=0))
    doubt: Frame = (0.1, [(one[0], 0.5), (other[0], 0.4)])
    assert not words.feed([doubt, (1.0, [])]) and words.open == "the"
    assert not words.feed([(0.2, [(third[0], 0.8)])])
    waited = [word for _ in range(20) for word in words.feed([(1.0, [])])]
    assert texts(waited) == ["the", "and"] and waited[0].end == 0 and words.open == ""
    sure = search(BeamConfig(weight=0, bonus=0))
    assert texts(sure.feed([(0.0, [(one[0], 1.0)])])) == ["the"]


def test_the_language_model_decides_between_what_sounds_alike() -> None:
    """The same frames are heard as what the model's text has more often."""
    said = [vocabulary().encode(word) for word in ("the", "boat")]
    likely = model_of((("the boat", 50), ("or boat", 1)))
    frames = certain([0]) + [(0.1, [(vocabulary().encode("or")[0], 0.5), (said[0][0], 0.4)])]
    frames += certain([0, *(label for piece in said[1] for label in (piece, 0))])
    alone = search(BeamConfig(weight=0, bonus=0))
    assert texts(alone.feed(frames) + alone.flush()) == ["or", "boat"]
    weighed = search(BeamConfig(weight=1, bonus=0), likely)
    assert texts(weighed.feed(frames) + weighed.flush()) == ["the", "boat"]


def model_of(texts: Sequence[tuple[str, int]]) -> NGrams:
    lines = [line for line, count in texts for _ in range(count)]
    return build([(lines, 1)], vocabulary(), 3, 1000)


def test_a_frame_in_which_nothing_is_possible_changes_nothing() -> None:
    words = search()
    words.feed(stream(9, 1))
    before = words.open
    committed = texts(words.feed([(0.0, [])]))  # time goes on
    assert before and " ".join(filter(None, [*committed, words.open])) == before


@pytest.mark.parametrize(
    "wrong", [dict(size=0), dict(labels=0), dict(bound=-1), dict(floor=1.0), dict(weight=-1.0)]
)
def test_values_that_cannot_be_meant_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BeamConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0])
def test_a_frame_that_is_not_a_number_is_as_if_it_were_not_there(bad: float) -> None:
    """A network that overflowed in one stream: the words of its other frames come, and nothing fails."""
    frames = stream(40, 3)
    one, other = search(), search()
    words = one.feed(frames[:20]) + one.feed([(bad, [(5, bad), (6, bad)])]) + one.feed(frames[20:])
    expected = other.feed(frames)
    assert texts(words + one.flush()) == texts(expected + other.flush())
