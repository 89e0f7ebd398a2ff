"""Delays of a simulation are those of the policy, and nothing but the sentence decides about them."""

from __future__ import annotations

import fakes
import pytest

from streamtrans.engine import Engine
from streamtrans.evaluation.latency import wait_k_delays
from streamtrans.evaluation.simulate import SimulationError, Translation, simulate
from streamtrans.messages import Text
from streamtrans.policy import PolicyError

SENTENCES = fakes.sentences(9, seed=4, longest=8)


def one_at_a_time(policy: str) -> list[Translation]:
    engine = fakes.engine(max_sessions=1, max_batch=1)
    return [translation for s in SENTENCES for translation in simulate(engine, [s], policy)]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_delays_are_those_of_wait_k(k: int) -> None:
    """A word comes when the schedule allows it, or later when the model had nothing to say yet; never sooner."""
    translations = simulate(fakes.engine(), SENTENCES, f"wait-{k}")
    for sentence, t in zip(SENTENCES, translations, strict=True):
        assert t.source == sentence.split()
        ideal = wait_k_delays(k, len(t.source), len(t.target))
        assert len(t.delays) == len(t.target) > 0
        assert all(delay >= least for delay, least in zip(t.delays, ideal, strict=True))
        assert t.delays == sorted(t.delays) and t.delays[-1] <= len(t.source)
    assert any(t.delays[0] == min(k, len(t.source)) for t in translations)


def test_catch_up_comes_sooner() -> None:
    plain, ahead = (simulate(fakes.engine(), SENTENCES, p) for p in ("wait-3", "wait-3:0.5"))
    assert sum(sum(t.delays[:4]) for t in ahead) < sum(sum(t.delays[:4]) for t in plain)


def test_full_reads_all_before_the_first_word() -> None:
    for t in simulate(fakes.engine(), SENTENCES, "full"):
        assert t.target and set(t.delays) == {len(t.source)}
        assert t.text.split() == t.target


@pytest.mark.parametrize(("slots", "batch"), [(1, 1), (2, 5), (4, 3), (16, 16)])
def test_neither_slots_nor_batches_show_in_the_result(slots: int, batch: int) -> None:
    """More sentences than slots wait for one; in float64 the very same words come at the very same time."""
    engine = fakes.engine(max_sessions=slots, max_batch=batch)
    assert simulate(engine, SENTENCES, "wait-2") == one_at_a_time("wait-2")
    assert engine.sessions == 0


def test_lines_without_words_are_translations_without_words() -> None:
    lines = ["", "a boat.", "  \t ", "\u200b", "the house."]
    results = simulate(fakes.engine(max_sessions=2), lines, "wait-1")
    assert [bool(t.target) for t in results] == [False, True, False, False, True]
    assert results[0] == Translation() and results[0].text == ""
    assert results[4] == simulate(fakes.engine(), lines[4:], "wait-1")[0]
    assert simulate(fakes.engine(), [], "wait-1") == []


def test_a_line_of_two_sentences_counts_on() -> None:
    """Two segments, one translation: delays count the words of the line."""
    (both,) = simulate(fakes.engine(), ["the old boat. a green house."], "full")
    assert set(both.delays) == {3, 6}


def broken(engine: Engine) -> None:
    def write(*arguments: object) -> None:
        raise RuntimeError("broken")

    engine._model.write = write  # type: ignore[assignment, method-assign]


def test_a_failure_is_named_and_leaves_no_session_open() -> None:
    engine = fakes.engine(max_sessions=4, max_batch=1)
    broken(engine)
    with pytest.raises(SimulationError, match="internal"):
        simulate(engine, SENTENCES, "wait-2")
    assert engine.sessions == 0
    with pytest.raises(PolicyError):
        simulate(engine, SENTENCES, "wait-0")


def test_an_engine_that_others_use_is_refused() -> None:
    """With all slots taken every translation was empty and nothing was said."""
    engine = fakes.engine(max_sessions=1)
    engine.feed(engine.open(), Text("the old "))
    with pytest.raises(SimulationError, match="1 sessions"):
        simulate(engine, SENTENCES, "wait-2")
