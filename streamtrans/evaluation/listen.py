"""Let recordings through the engine in pieces, as many at once as there are slots, on a clock that counts ms of audio.

A delay d_i is the audio that had been taken in when the engine committed target word i, whatever the word waited for:
source words, a pause that ends a segment, or the steps in which the recogniser hears. Computing takes no time here; in
timing.py it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.manifest import Recording
from streamtrans.evaluation.simulate import Translation, require_free
from streamtrans.evaluation.timing import Arrival
from streamtrans.messages import Audio, Command, Done, End

PIECE = 100.0  # ms of audio that arrive at once


def pieces(recording: Recording, ms: float = PIECE) -> list[Arrival]:
    """The audio in pieces, each with the ms of audio up to its end; the end of the source comes with the last.

    Raises ManifestError, and ValueError for a piece without sound.
    """
    size = 2 * math.ceil(ms / 1000 * recording.rate)
    if size <= 0:
        raise ValueError(f"a piece must last longer than 0 ms, not {ms}")
    data = recording.pcm()
    arrivals = []
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        end = 1000 * (at + len(piece)) / 2 / recording.rate
        commands: list[Command] = [Audio(piece)]
        if at + size >= len(data):
            commands.append(End())
        arrivals.append(Arrival(end, commands))
    return arrivals


@dataclass
class _Stream:
    """A recording on its way: what comes next, what came out."""

    rest: Iterator[Arrival]
    translation: Translation
    at: float = 0.0


def listen(
    engine: Engine, recordings: Sequence[Recording], policy: str, piece: float = PIECE
) -> list[Translation]:
    """Translate each recording in a session of its own; delays in ms of audio.

    Raises SessionError where the engine does not hear, PolicyError, SimulationError and ManifestError; no session is
    left open.
    """
    require_free(engine)
    live: dict[Session, _Stream] = {}
    try:
        return _listen(engine, recordings, policy, piece, live)
    finally:
        for session in live:
            engine.close(session)


def _listen(
    engine: Engine,
    recordings: Sequence[Recording],
    policy: str,
    piece: float,
    live: dict[Session, _Stream],
) -> list[Translation]:
    results = [Translation() for _ in recordings]
    waiting = iter(range(len(recordings)))
    while True:
        while engine.sessions < engine.max_sessions and (number := next(waiting, None)) is not None:
            recording = recordings[number]
            session = engine.open(policy, rate=recording.rate)
            live[session] = _Stream(iter(()), results[number])
            live[session].rest = iter(pieces(recording, piece))
        if not live:
            return results
        for session, stream in live.items():
            if arrival := next(stream.rest, None):
                stream.at = arrival.ms
                for command in arrival.commands:
                    engine.feed(session, command)
        while engine.ready:
            for session, event in engine.tick():
                live[session].translation.take(event, live[session].at)
                if isinstance(event, Done):
                    del live[session]
