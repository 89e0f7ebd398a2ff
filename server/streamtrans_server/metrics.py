"""What an operator watches, in the format of Prometheus.

This file knows names, units and buckets. It does not know where the numbers come from. Counters and histograms may be
used from the loop and from the engine thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
LAG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)  # s
FIRST = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # s
STEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # s
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # sessions


class Speed:
    """Seconds of sound heard in a second of the engine's time, mostly of the last `LAST` seconds it worked."""

    LAST = 30.0

    def __init__(self) -> None:
        self._sound = self._time = 0.0

    def add(self, sound: float, time: float) -> None:
        self._sound += sound
        self._time += time
        if self._time > self.LAST:
            self._sound, self._time = self._sound / 2, self._time / 2

    @property
    def value(self) -> float:
        """0 before anything was heard."""
        return self._sound / self._time if self._time else 0.0


class EngineMetrics(Protocol):
    """What those who run an engine have to tell."""

    def stepped(self, seconds: float, sessions: int) -> None:
        """One tick is done."""

    def heard(self, seconds: float) -> None:
        """So much sound was heard."""

    def committed(self, lag: float) -> None:
        """One word was committed, `lag` seconds after the last word READ had arrived."""

    def began(self, delay: float) -> None:
        """A session committed its first word, `delay` seconds after its first source word had arrived."""

    def lagged(self) -> None:
        """A Lag event was sent."""

    def drafted(self) -> None:
        """A draft was sent."""

    def skipped_draft(self) -> None:
        """A draft was left out because its session lagged."""


class Metrics:
    """One set for one server; see `EngineMetrics` for what is told."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.sessions_opened = self._counter("sessions_opened", "Sessions that were opened.")
        self.resumes = self._counter("resumes", "Returns of clients, by outcome.", "outcome")
        self.refusals = self._counter("refusals", "Refused handshakes, by reason.", "reason")
        self.errors = self._counter("errors", "Sessions ended with an error, by code.", "code")
        self._lags = self._counter("lag_events", "Lag events.")
        self._drafts = self._counter("drafts_sent", "Drafts that were sent.")
        self._drafts_skipped = self._counter(
            "drafts_skipped", "Drafts that were left out because their session lagged."
        )
        self._words = self._counter("committed_words", "Committed target words.")
        self._lag = self._histogram(
            "translation_lag_seconds",
            "From the arrival of the last source word READ (of the sound heard when it was recognised)"
            " to the commit of a target word.",
            LAG,
        )
        self._first_word = self._histogram(
            "first_word_delay_seconds",
            "From the arrival of a session's first source word to its first commit.",
            FIRST,
        )
        self._step = self._histogram("step_seconds", "Time of one tick of the engine.", STEP)
        self._batch = self._histogram("batch_size", "Sessions in one tick of the engine.", BATCH)
        self._audio = self._counter("audio_seconds", "Sound that was heard.")
        self._speed = Speed()
        self.gauge(
            "audio_speed",
            "Seconds of sound heard in a second of the engine's time, lately.",
            lambda: self._speed.value,
        )

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A number that is looked up when somebody asks for it."""
        gauge = Gauge(f"streamtrans_{name}", text, registry=self._registry)
        gauge.set_function(value)

    def stepped(self, seconds: float, sessions: int) -> None:
        self._step.observe(seconds)
        self._speed.add(0.0, seconds)
        if sessions:
            self._batch.observe(sessions)

    def heard(self, seconds: float) -> None:
        self._audio.inc(seconds)
        self._speed.add(seconds, 0.0)

    def committed(self, lag: float) -> None:
        self._words.inc()
        self._lag.observe(lag)

    def began(self, delay: float) -> None:
        self._first_word.observe(delay)

    def lagged(self) -> None:
        self._lags.inc()

    def drafted(self) -> None:
        self._drafts.inc()

    def skipped_draft(self) -> None:
        self._drafts_skipped.inc()

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"streamtrans_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"streamtrans_{name}", text, buckets=buckets, registry=self._registry)
