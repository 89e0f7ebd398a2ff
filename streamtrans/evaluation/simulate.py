"""Translate sentences through the engine with a simulated clock, as many at once as there are slots.

The source clock counts words, so a commit's delay d_i is the number of source words READ before it. The engine, its
policies and its batches are the ones that serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.erasure import erased
from streamtrans.messages import Done, End, Error, Event, Source, Target, Text


class SimulationError(RuntimeError):
    """A session failed during a simulation, or the engine was not free for one."""


@dataclass
class Translation:
    """What was READ and committed of one source, and how much of it had been taken in before each target word.

    delays: in source words READ, or in ms of audio. erased: target words that were shown and taken back
    later, for normalized erasure.
    """

    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    erased: int = 0

    @property
    def text(self) -> str:
        """The hypothesis."""
        return " ".join(self.target)

    def take(self, event: Event, delay: float | None = None) -> None:
        """Take in an event of the session, in order; delay: of a target word, else the source words READ before it.

        Raises SimulationError for an Error, and for a target word whose forerunner is missing.
        """
        if isinstance(event, Source):
            self.source.append(event.text)
        elif isinstance(event, Target):
            if event.index < len(self.target):
                self._take_back(event)
            if event.index > len(self.target):
                raise SimulationError(f"target word {len(self.target)} is missing")
            self.target.append(event.text)
            self.delays.append(event.read if delay is None else delay)
        elif isinstance(event, Error):
            raise SimulationError(f"{event.code}: {event.text}")

    def _take_back(self, event: Target) -> None:
        """The engine promises not to do this; a measurement does not rely on promises."""
        self.erased += erased(self.target, [*self.target[: event.index], event.text])
        del self.target[event.index :], self.delays[event.index :]


def simulate(engine: Engine, sentences: Sequence[str], policy: str) -> list[Translation]:
    """Translate each sentence in a session of its own. Raises PolicyError, SimulationError; no session is left open."""
    require_free(engine)
    live: dict[Session, Translation] = {}
    try:
        return _simulate(engine, sentences, policy, live)
    finally:
        for session in live:
            engine.close(session)


def require_free(engine: Engine) -> None:
    """Raises SimulationError if others have sessions there."""
    if engine.sessions:
        raise SimulationError(f"the engine has {engine.sessions} sessions of somebody else")


def _simulate(
    engine: Engine, sentences: Sequence[str], policy: str, live: dict[Session, Translation]
) -> list[Translation]:
    results = [Translation() for _ in sentences]
    waiting = iter(range(len(sentences)))
    while True:
        while engine.sessions < engine.max_sessions and (number := next(waiting, None)) is not None:
            session = engine.open(policy)
            live[session] = results[number]
            engine.feed(session, Text(sentences[number]))
            engine.feed(session, End())
        if not engine.ready:
            return results
        for session, event in engine.tick():
            live[session].take(event)
            if isinstance(event, Done):
                del live[session]
