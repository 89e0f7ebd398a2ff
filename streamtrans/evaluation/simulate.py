"""Translate sentences through the engine with a simulated clock, as many at once as there are slots.

The source clock counts words, so a commit's delay d_i is the number of source words READ before it. The engine, its
policies and its batches are the ones that serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamtrans.engine import Engine, Session
from streamtrans.messages import Done, End, Error, Source, Target, Text


class SimulationError(RuntimeError):
    """A session failed during a simulation, or the engine was not free for one."""


@dataclass
class Translation:
    """One sentence: what was READ and committed, and source words READ before each target word."""

    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The hypothesis."""
        return " ".join(self.target)


def simulate(engine: Engine, sentences: Sequence[str], policy: str) -> list[Translation]:
    """Translate each sentence in a session of its own. Raises PolicyError, SimulationError; no session is left open."""
    if engine.sessions:
        raise SimulationError(f"the engine has {engine.sessions} sessions of somebody else")
    live: dict[Session, Translation] = {}
    try:
        return _simulate(engine, sentences, policy, live)
    finally:
        for session in live:
            engine.close(session)


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
            result = live[session]
            if isinstance(event, Source):
                result.source.append(event.text)
            elif isinstance(event, Target):
                result.target.append(event.text)
                result.delays.append(event.read)
            elif isinstance(event, Done):
                del live[session]
            elif isinstance(event, Error):
                raise SimulationError(f"{event.code}: {event.text}")
