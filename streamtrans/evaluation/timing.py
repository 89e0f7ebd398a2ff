"""What the work costs: sentences at the pace of a speaker, one session at a time, on a clock that counts computing.

The source arrives on a simulated clock; how long the engine computes is measured. So nobody waits for a speaker, and
what a session alone would have seen comes out: step i starts when its source is there and the step before is finished,

    t_i = max(arrival_i, finish_{i-1}) + c_i,    c_i the measured seconds of the step.

Computing while nobody speaks costs no lag, and a step that is late makes the next one late. Sessions of others and the
network are not in it (`bench.lag` and `streamtrans bench load` have them).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.delays import DelayError, Delays
from streamtrans.evaluation.latency import Latency, corpus_latency
from streamtrans.evaluation.simulate import SimulationError, Translation, require_free
from streamtrans.messages import Command, End, Target, Text
from streamtrans.text.source import words

PACE = 3.0  # words a second, an English speaker's
Clock = Callable[[], float]


@dataclass(frozen=True)
class Arrival:
    """What arrives in one piece, and when: ms from the beginning of the source to the end of the piece."""

    ms: float
    commands: Sequence[Command]


def now() -> float:
    """Seconds, with all work on the GPU done."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass
class Timing:
    """One stream alone. Times in ms from its beginning; source_ms: how long the source goes on; compute_ms: all steps;
    audio: delays of the translation are in ms of audio, not in words.

    at: for each target word the arrival of the last piece of source before it, d_i; times: when it was out, t_i.
    """

    source_ms: float
    audio: bool = False
    translation: Translation = field(default_factory=Translation)
    compute_ms: float = 0.0
    at: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def lags(self) -> list[float]:
        """t_i - d_i for each target word: what computing adds."""
        return [out - at for out, at in zip(self.times, self.at, strict=True)]


@dataclass(frozen=True, slots=True)
class Cost:
    """rtf: computing / source time; lag_p50 to lag_p99: ms that computing adds to a target word."""

    rtf: float
    lag_p50: float
    lag_p95: float
    lag_p99: float


@dataclass(frozen=True, slots=True)
class Timed:
    """Computation-aware figures of a sample. Latencies and lags in ms, ap a share; rtf: computing / source time."""

    sentences: int
    latency: Latency
    rtf: float
    lag_p50: float
    lag_p95: float
    lag_p99: float


def time_sentences(
    engine: Engine,
    sentences: Sequence[str],
    policy: str,
    pace: float = PACE,
    clock: Clock = now,
) -> list[Timing]:
    """Translate each sentence in a session alone, its words arriving at `pace` words a second.

    Word j is there after j/pace seconds, the end of the source with the last word. Reading the text in (`feed`) counts
    as work like the steps. The first sentence is translated once more beforehand, unmeasured: first steps are slow.

    Raises PolicyError, SimulationError, and ValueError for a pace that is not positive.
    """
    if not pace > 0:
        raise ValueError(f"pace must be positive, not {pace}")
    require_free(engine)
    streams = [paced(sentence, pace) for sentence in sentences]
    for stream in streams[:1]:
        time_stream(engine, stream, policy, clock)
    return [time_stream(engine, stream, policy, clock) for stream in streams]


def paced(sentence: str, pace: float) -> list[Arrival]:
    """The words of a sentence, each with its arrival; the end of the source comes with the last."""
    arrivals = []
    source = words(sentence)
    for j, word in enumerate(source, start=1):
        at = 1000 * j / pace
        text = Text(f"{word} ", at)
        arrivals.append(Arrival(at, [text, End()] if j == len(source) else [text]))
    return arrivals


def time_stream(
    engine: Engine,
    source: Sequence[Arrival],
    policy: str,
    clock: Clock = now,
    rate: int | None = None,
) -> Timing:
    """Drive one session through its source; rate: samples a second, of audio. Raises PolicyError, SessionError,
    SimulationError."""
    timing = Timing(source[-1].ms if source else 0.0, rate is not None)
    session = engine.open(policy, rate=rate)
    finish = 0.0
    try:
        for arrival in source:
            finish = _advance(engine, session, arrival, finish, timing, clock)
    finally:
        engine.close(session)
    return timing


def _advance(
    engine: Engine,
    session: Session,
    arrival: Arrival,
    free: float,
    timing: Timing,
    clock: Clock,
) -> float:
    """Feed and run until there is nothing to do; `free` is when the work before is finished, the result when this is,
    in ms of the stream.
    """
    start = max(arrival.ms, free)
    began = clock()
    for command in arrival.commands:
        engine.feed(session, command)
    while engine.ready:
        events = engine.tick()
        finish = start + 1000 * (clock() - began)
        for owner, event in events:
            if owner is not session:
                raise SimulationError("the engine serves somebody else")
            timing.translation.take(event, arrival.ms if timing.audio else None)
            if isinstance(event, Target):
                timing.at.append(arrival.ms)
                timing.times.append(finish)
    work = 1000 * (clock() - began)
    timing.compute_ms += work
    return start + work


def summarise(timings: Sequence[Timing], reference_lengths: Sequence[int], pace: float) -> Timed:
    """The figures of a sample. Raises DelayError if every hypothesis is empty.

    The unit of ATD is the word: each takes 1/pace seconds to be said, in both languages.
    """
    ms = 1000 / pace
    latency = corpus_latency(
        Delays(
            t.translation.delays, len(t.translation.source), length, [out / ms for out in t.times]
        )
        for t, length in zip(timings, reference_lengths, strict=True)
    )
    cost = cost_of(timings)
    return Timed(
        len(timings), _scaled(latency, ms), cost.rtf, cost.lag_p50, cost.lag_p95, cost.lag_p99
    )


def cost_of(timings: Sequence[Timing]) -> Cost:
    """Over all streams and words. Raises DelayError if there are no words."""
    lags = list(chain.from_iterable(t.lags for t in timings))
    if not lags:
        raise DelayError("no stream that was timed has target words")
    p50, p95, p99 = (float(p) for p in np.percentile(lags, (50, 95, 99)))
    return Cost(
        sum(t.compute_ms for t in timings) / sum(t.source_ms for t in timings), p50, p95, p99
    )


def _scaled(words: Latency, ms: float) -> Latency:
    """Words of the source clock in ms."""
    return Latency(
        al=words.al * ms,
        laal=words.laal * ms,
        ap=words.ap,
        dal=words.dal * ms,
        atd=words.atd * ms,
        yaal=None if words.yaal is None else words.yaal * ms,
    )
