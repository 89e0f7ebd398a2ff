"""Policies decide from three numbers; their names are the same everywhere."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.policy import Action, Full, Policy, PolicyError, Progress, WaitK, parse

NAMES = ["wait-1", "wait-3", "wait-9999", "wait-3:0.1", "wait-5:0.25", "wait-1:0.9999", "full"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_and_given_back(name: str) -> None:
    assert parse(name).name == name
    assert parse(parse(name).name) == parse(name)


def test_other_spellings_of_the_same_policy() -> None:
    assert parse("wait-3:.5") == parse("wait-3:0.50") == WaitK(3, 0.5)
    assert parse("wait-03:0.0") == WaitK(3) and parse("wait-03").name == "wait-3"


@pytest.mark.parametrize(
    "name",
    ["", "wait", "wait-", "wait-0", "wait--1", "wait-3:", "wait-3:1", "wait-3:1.0", "wait-3:-0.1"]
    + ["wait-99999", "wait-3.5", "Wait-3", " wait-3", "wait-3\n", "full:1", "greedy", "x" * 5000],
)
def test_what_is_no_policy_is_refused_in_a_few_words(name: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(name)
    assert "wait-" in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize(("k", "catch_up"), [(0, 0.0), (-1, 0.0), (3, 1.0), (3, -0.1)])
def test_what_cannot_be_built(k: int, catch_up: float) -> None:
    with pytest.raises(PolicyError, match="k >= 1"):
        WaitK(k, catch_up)


def schedule(policy: Policy, source: int, target: int) -> list[int]:
    """Words READ before each target word, as a session would walk."""
    read = written = 0
    before: list[int] = []
    while written < target:
        if policy.decide(Progress(read, written, ended=read > source)) is Action.WRITE:
            before.append(min(read, source))
            written += 1
        else:
            read += 1
    return before


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 40))
def test_wait_k_is_its_equation(k: int, source: int, target: int) -> None:
    """g(t) = min(k + t - 1, |x|), Ma et al. 2019, eq. 2."""
    expected = [min(k + t - 1, source) for t in range(1, target + 1)]
    assert schedule(WaitK(k), source, target) == expected


@pytest.mark.parametrize("catch_up", ["0.1", "0.2", "0.25", "0.5", "0.7", "0.9"])
def test_catch_up_is_its_schedule(catch_up: str) -> None:
    """w + k - floor(c (w + 1)) words READ before word w + 1, in exact arithmetic, up to |x|."""
    exact = Fraction(catch_up)
    expected = [min(3 + w - floor(exact * (w + 1)), 200) for w in range(300)]
    assert schedule(WaitK(3, float(catch_up)), 200, 300) == expected


def test_catch_up_with_wait_1_never_writes_before_it_reads() -> None:
    assert schedule(WaitK(1, 0.5), 4, 10) == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4]


def test_after_the_end_there_is_nothing_but_writing() -> None:
    for name in NAMES:
        assert parse(name).decide(Progress(0, 100, ended=True)) is Action.WRITE


def test_full_reads_all_first() -> None:
    assert schedule(Full(), 7, 3) == [7, 7, 7]
    assert Full().decide(Progress(1000, 0, ended=False)) is Action.READ


def test_policies_are_values() -> None:
    """One policy serves any number of sessions: it must be frozen and compare by what it says."""
    assert WaitK(3) == WaitK(3) and len({WaitK(3), WaitK(3), Full(), Full()}) == 2
    with pytest.raises(AttributeError):
        WaitK(3).k = 4  # type: ignore[misc]
