"""What the work costs: sentences at the pace of a speaker, one session at a time, on a clock that counts computing.

The source arrives on a simulated clock; how long the engine computes is measured. So nobody waits for a speaker, and
what a session alone would have seen comes out: step i starts when its source is there and the step before is finished,

    t_i = max(arrival_i, finish_{i-1}) + c_i,    c_i the measured seconds of the step.

Computing while nobody speaks costs no lag, and a step that is late makes the next one late. Sessions of others and the
network are not in it (`bench.lag` and `bench.load` have them).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.delays import Delays
from streamtrans.evaluation.latency import Latency, corpus_latency
from streamtrans.evaluation.simulate import SimulationError, Translation, require_free
from streamtrans.messages import Command, End, Target, Text
from streamtrans.text.source import words

PACE = 3.0  # words a second, an English speaker's
Clock = Callable[[], float]


def now() -> float:
    """Seconds, with all work on the GPU done."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass
class Timing:
    """One stream alone. Times in ms from its beginning; source_ms: how long the source goes on; compute_ms: all steps.

    at: for each target word the arrival of the last source word READ before it, d_i; times: when it was out, t_i.
    """

    source_ms: float
    translation: Translation = field(default_factory=Translation)
    compute_ms: float = 0.0
    at: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def lags(self) -> list[float]:
        """t_i - d_i for each target word: what computing adds."""
        return [out - at for out, at in zip(self.times, self.at, strict=True)]


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


def paced(sentence: str, pace: float) -> list[Text]:
    """The words of a sentence, each with its arrival in ms."""
    return [Text(f"{word} ", 1000 * j / pace) for j, word in enumerate(words(sentence), start=1)]


def time_stream(engine: Engine, source: Sequence[Text], policy: str, clock: Clock = now) -> Timing:
    """Drive one session through its source; `Text.at` is the arrival. Raises PolicyError, SimulationError."""
    timing = Timing(source[-1].at or 0.0 if source else 0.0)
    session = engine.open(policy)
    finish = 0.0
    try:
        for number, text in enumerate(source, start=1):
            commands: list[Command] = [text, End()] if number == len(source) else [text]
            finish = _advance(engine, session, commands, max(text.at or 0.0, finish), timing, clock)
    finally:
        engine.close(session)
    return timing


def _advance(
    engine: Engine,
    session: Session,
    commands: Sequence[Command],
    start: float,
    timing: Timing,
    clock: Clock,
) -> float:
    """Feed and run until there is nothing to do; `start` and the result in ms of the stream."""
    began = clock()
    for command in commands:
        engine.feed(session, command)
    while engine.ready:
        events = engine.tick()
        finish = start + 1000 * (clock() - began)
        for owner, event in events:
            if owner is not session:
                raise SimulationError("the engine serves somebody else")
            timing.translation.take(event)
            if isinstance(event, Target):
                timing.at.append(event.at)
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
    lags = list(chain.from_iterable(t.lags for t in timings))
    p50, p95, p99 = (float(p) for p in np.percentile(lags, (50, 95, 99)))
    rtf = sum(t.compute_ms for t in timings) / sum(t.source_ms for t in timings)
    return Timed(len(timings), _scaled(latency, ms), rtf, p50, p95, p99)


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
