"""Learned policies: their names, and the bounds that hold whatever a model says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import fakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.engine.session import Session
from streamtrans.engine.source_queue import Limits
from streamtrans.messages import Done, End, Target, Text
from streamtrans.policy import (
    Action,
    Adaptive,
    Monotonic,
    Policy,
    PolicyError,
    Progress,
    WaitK,
    parse,
)

NAMES = ["monotonic", "adaptive-1-5", "adaptive-3-3", "adaptive-1-5:0.7", "adaptive-2-9:0.9999"]
NAMES += ["adaptive-1-5:0", "adaptive-1-5:1", "adaptive-1-9999:0.0001"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_and_given_back(name: str) -> None:
    policy = parse(name)
    assert policy.name == name and parse(policy.name) == policy and policy.learned
    assert not parse("wait-3").learned and not parse("full").learned


@given(st.integers(1, 99), st.integers(0, 99), st.integers(0, 10_000))
def test_every_adaptive_policy_has_a_name(lowest: int, wider: int, parts: int) -> None:
    policy = Adaptive(lowest, lowest + wider, parts / 10_000)
    assert parse(policy.name) == policy


def test_other_spellings_of_the_same_policy() -> None:
    assert parse("adaptive-1-5:.70") == parse("adaptive-01-5:0.7") == Adaptive(1, 5, 0.7)
    assert (
        parse("adaptive-1-5:0.5") == Adaptive(1, 5) and parse("adaptive-1-5:1.0").name[-2:] == ":1"
    )


@pytest.mark.parametrize(
    "name",
    ["adaptive", "adaptive-1", "adaptive-0-3", "adaptive-4-3", "adaptive-1-5:", "adaptive-1-5:1.1"]
    + ["adaptive-1-5:.", "adaptive-1-5:nan", "adaptive-1-5:-0.5", "adaptive-1-5:0.12345"]
    + ["adaptive-1-55555", "adaptive-1-5 ", "adaptive--1-5", "monotonic:1", "Monotonic", "mono"],
)
def test_what_is_no_policy_is_refused_in_a_few_words(name: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(name)
    assert "adaptive" in str(error.value) and len(str(error.value)) < 250


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf, 0.12345])
def test_what_cannot_be_built(threshold: float) -> None:
    with pytest.raises(PolicyError, match="threshold in 0..1"):
        Adaptive(1, 5, threshold)


CONFIDENCE = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, math.nan]))


def walked(policy: Policy, source: int, target: int, said: Callable[[], float]) -> list[int]:
    """Words READ before each target word: asked with confidence 1 after each READ, then with what the model said."""
    read = written = 0
    ended, before = False, []
    while written < target:
        if policy.decide(Progress(read, written, ended)) is Action.WRITE and (
            policy.decide(Progress(read, written, ended, said())) is Action.WRITE
        ):
            before.append(read)
            written += 1
        elif read < source:
            read += 1
        else:
            assert not ended
            ended = True
    return before


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 20), st.integers(0, 20), st.data())
def test_bounded_adaptive_is_bounded(
    lowest: int, wider: int, source: int, target: int, data: st.DataObject
) -> None:
    """Word w + 1 never before min(w + k_min, |X|) READs and never later than wait-k_max, whatever the model says."""
    highest = lowest + wider
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    before = walked(
        Adaptive(lowest, highest, threshold), source, target, lambda: data.draw(CONFIDENCE)
    )
    for w, read in enumerate(before):
        assert min(w + lowest, source) <= read <= min(w + highest, source)
    assert before == sorted(before)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("said", [0.0, 0.49, 1.0, math.nan])
def test_equal_bounds_are_wait_k(k: int, said: float) -> None:
    for source in (0, 1, 5, 9):
        for read in range(source + 1):
            for written in range(9):
                for ended in (False, True):
                    here = Progress(read, written, ended, said)
                    assert Adaptive(k, k).decide(here) is WaitK(k).decide(here)


def test_thresholds_0_and_1_are_the_bounds() -> None:
    for said in (0.0, 0.3, 0.999999):
        assert walked(Adaptive(2, 5, 0.0), 9, 9, lambda s=said: s) == walked(
            WaitK(2), 9, 9, lambda: 1
        )
        assert walked(Adaptive(2, 5, 1.0), 9, 9, lambda s=said: s) == walked(
            WaitK(5), 9, 9, lambda: 1
        )


def test_a_confidence_that_is_no_number_waits_to_the_upper_bound() -> None:
    assert walked(Adaptive(1, 4, 0.0), 9, 6, lambda: math.nan) == [4, 5, 6, 7, 8, 9]
    assert walked(Monotonic(), 9, 2, lambda: math.nan) == [9, 9]


def test_monotonic_writes_when_the_model_has_stopped_and_never_before_it_has_read() -> None:
    stops = iter([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    assert walked(Monotonic(), 5, 3, lambda: next(stops)) == [3, 3, 4]
    assert Monotonic().decide(Progress(0, 0, False, 1.0)) is Action.READ
    assert Monotonic().decide(Progress(0, 0, True, 0.0)) is Action.WRITE


def spoken(policy: Policy, words: list[str], said: Iterator[float]) -> Iterator[Target | Done]:
    """A session without a model: it is told a word and a confidence for each WRITE, and never the end early."""
    vocabulary = fakes.vocabulary()
    piece = next(p for p in vocabulary.encode("the") if vocabulary.ends_word[p])
    session = Session(0, policy, vocabulary, "fr", Limits(60, 256), decides=True)
    session.feed(Text(" ".join(words) + " "))
    session.feed(End())
    writes = 0
    while (action := session.action()) is not None:
        if action is Action.READ:
            session.take_read()
        else:
            writes += session.wrote(vocabulary.eos if writes == len(words) else piece, next(said))
    yield from (e for e in session.take_events() if isinstance(e, Target | Done))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 4), st.integers(1, 12), st.lists(CONFIDENCE, min_size=1))
def test_a_session_keeps_the_bounds(
    lowest: int, wider: int, length: int, confidences: list[float]
) -> None:
    """As above through the session, which remembers a refused WRITE until the next READ."""
    said = iter(confidences * 200)
    *targets, done = spoken(Adaptive(lowest, lowest + wider), ["boat"] * length, said)
    assert isinstance(done, Done) and len(targets) == length
    for w, word in enumerate(targets):
        assert isinstance(word, Target)
        assert min(w + lowest, length) <= word.read <= min(w + lowest + wider, length)
