"""The clock of a server: work waits for its source and for the work before it, and nothing else is counted."""

from __future__ import annotations

from typing import cast

import fakes
import pytest

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.latency import DelayError, Delays, corpus_latency
from streamtrans.evaluation.simulate import SimulationError, simulate
from streamtrans.evaluation.timing import paced, summarise, time_sentences, time_stream
from streamtrans.messages import Command, Done, End, Event, Source, Target, Text
from streamtrans.policy import PolicyError

SENTENCES = fakes.sentences(6, seed=5, longest=8)


class ScriptedEngine:
    """Answers each command with a script: ticks of so many ms, each with target words. `seconds` is the clock."""

    def __init__(self, script: list[list[tuple[float, list[str]]]]) -> None:
        self.sessions = 0
        self._script = iter(script)
        self._ticks: list[tuple[float, list[str]]] = []
        self._events: list[Event] = []
        self._time = self._at = 0.0
        self._source = self._target = 0

    def seconds(self) -> float:
        return self._time / 1000

    def open(self, policy: str, rate: int | None = None) -> Session:
        self.sessions += 1
        return cast(Session, self)

    def close(self, session: Session) -> None:
        self.sessions -= 1

    @property
    def ready(self) -> bool:
        return bool(self._ticks)

    def feed(self, session: Session, command: Command) -> None:
        if isinstance(command, Text):
            self._at = command.at or 0.0
            self._ticks += next(self._script)
            self._events = [Source(0, command.text, self._source, self._at)]
            self._source += 1
        else:
            assert isinstance(command, End) and self._ticks
            self._events.append(Done(0, 0, 0))

    def tick(self) -> list[tuple[Session, Event]]:
        cost, words = self._ticks.pop(0)
        self._time += cost
        events, self._events = self._events, []
        for word in words:
            events.append(Target(0, word, self._target, self._source, self._at))
            self._target += 1
        return [(cast(Session, self), event) for event in events]


def test_the_clock_by_hand() -> None:
    """Four words, one in 100 ms; the second costs more than 100 ms, the fourth finds the engine idle.

    word 1 at 100: 30 ms, nothing written. word 2 at 200: 20 ms, then 150 ms: written at 220 and 370. word 3 at 300 has
    to wait until 370: 10 ms, written at 380. word 4 at 400: 40 and 5 ms, written at 440.
    """
    script = [
        [(30.0, [])],
        [(20.0, ["a"]), (150.0, ["b", "c"])],
        [(10.0, ["d"])],
        [(40.0, ["e"]), (5.0, [])],
    ]
    engine = ScriptedEngine(script)
    timing = time_stream(cast(Engine, engine), paced("1 2 3 4", pace=10), "any", engine.seconds)
    assert timing.translation.target == ["a", "b", "c", "d", "e"]
    assert timing.translation.delays == [2, 2, 2, 3, 4]
    assert timing.at == [200, 200, 200, 300, 400]
    assert timing.times == pytest.approx([220, 370, 370, 380, 440])
    assert timing.lags == pytest.approx([20, 170, 170, 80, 40])
    assert (timing.source_ms, timing.compute_ms) == (400, pytest.approx(255))
    assert engine.sessions == 0

    figures = summarise([timing], [5], pace=10)
    assert figures.rtf == pytest.approx(255 / 400)
    assert (figures.lag_p50, figures.lag_p95) == pytest.approx((80, 170))
    # pace of an ideal translator: 80 ms a word; the source is over at 400 ms, so tau = 5
    lags = [220, 370 - 80, 370 - 160, 380 - 240, 440 - 320]
    assert figures.latency.al == pytest.approx(sum(lags) / 5)
    assert figures.latency.yaal == pytest.approx(sum(lags[:4]) / 4)
    assert figures.latency.ap == pytest.approx((220 + 370 + 370 + 380 + 440) / (400 * 5))


@pytest.mark.parametrize("policy", ["wait-1", "wait-3", "full"])
def test_work_that_takes_no_time_leaves_the_latency_as_it_is(policy: str) -> None:
    """In ms at the stated pace; and the words are those of the simulation with many sessions at once."""
    timings = time_sentences(fakes.engine(), SENTENCES, policy, pace=4.0, clock=lambda: 0.0)
    assert [t.translation for t in timings] == simulate(fakes.engine(), SENTENCES, policy)
    lengths = [len(s.split()) + 1 for s in SENTENCES]
    figures = summarise(timings, lengths, pace=4.0)
    words = corpus_latency(
        Delays(t.translation.delays, len(t.translation.source), length)
        for t, length in zip(timings, lengths, strict=True)
    )
    for name in ("al", "laal", "dal", "atd"):
        assert getattr(figures.latency, name) == pytest.approx(250 * getattr(words, name)), name
    assert figures.latency.ap == pytest.approx(words.ap)
    yaal = figures.latency.yaal
    assert yaal is None if policy == "full" else yaal == pytest.approx(250 * (words.yaal or 0))
    assert figures.rtf == figures.lag_p50 == figures.lag_p99 == 0
    assert figures.sentences == len(SENTENCES)


def test_real_work_is_measured() -> None:
    timings = time_sentences(fakes.engine(), SENTENCES, "wait-2")
    for t in timings:
        assert t.times == sorted(t.times) and min(t.lags) > 0
        assert t.compute_ms > 0 and t.source_ms == pytest.approx(
            1000 * len(t.translation.source) / 3
        )
    figures = summarise(timings, [5] * len(timings), pace=3.0)
    assert 0 < figures.lag_p50 <= figures.lag_p95 <= figures.lag_p99
    assert 0 < figures.rtf < 1


def test_lines_without_words_cost_nothing_and_stop_nothing() -> None:
    timings = time_sentences(fakes.engine(), ["", SENTENCES[0], " "], "wait-1")
    assert [bool(t.times) for t in timings] == [False, True, False]
    assert timings[0].source_ms == timings[0].compute_ms == 0
    with pytest.raises(DelayError, match="every hypothesis is empty"):
        summarise(timings[:1], [1], pace=3.0)


def test_what_cannot_be_meant_is_named_and_leaves_no_session_open() -> None:
    engine = fakes.engine()
    with pytest.raises(ValueError, match="pace must be positive"):
        time_sentences(engine, SENTENCES, "wait-1", pace=0)
    with pytest.raises(PolicyError):
        time_sentences(engine, SENTENCES, "soon")

    def write(*arguments: object) -> None:
        raise RuntimeError("broken")

    engine._model.write = write  # type: ignore[assignment, method-assign]
    with pytest.raises(SimulationError, match="internal"):
        time_sentences(engine, SENTENCES, "wait-1")
    assert engine.sessions == 0
    engine.open("wait-1")
    with pytest.raises(SimulationError, match="1 sessions"):
        time_sentences(engine, SENTENCES, "wait-1")


def test_chinese_comes_character_by_character() -> None:
    arrivals = paced("天气好。", 4)
    assert [(a.ms, a.commands[0]) for a in arrivals] == [
        (250, Text("天 ", 250)),
        (500, Text("气 ", 500)),
        (750, Text("好 ", 750)),
        (1000, Text("。 ", 1000)),
    ]
    assert [len(a.commands) for a in arrivals] == [1, 1, 1, 2]  # the end comes with the last
