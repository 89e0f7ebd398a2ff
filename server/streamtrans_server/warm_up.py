"""Sentences that make the engine do everything once before the first client comes.

This file knows what to say; it does not know the model, nor threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamtrans.engine import Engine
from streamtrans.messages import Audio, Command, Done, End, Error, Text

SENTENCES = ("Good morning, and thank you all for coming. ", "It is 12.30 in Geneva, is it not? ")
RATE = 16000  # samples a second
SOUND = bytes(
    2 * RATE
)  # a second of silence, which never comes to the recogniser: it is warmed by itself
BATCHES = (1, 16)  # sessions at once, as far as there are slots


class WarmUpFailed(RuntimeError):
    """The engine cannot translate: the server must not start."""


def warm_up(engine: Engine) -> None:
    """Translate `SENTENCES` alone and in batches, and hear. Raises WarmUpFailed when one does not finish."""
    for batch in sorted({min(batch, engine.max_sessions) for batch in BATCHES}):
        _run(engine, batch, None, [Text(sentence, 0.0) for sentence in SENTENCES])
        if engine.hears:
            engine.warm_hearing(batch)
            _run(engine, batch, RATE, [Audio(SOUND)])


def _run(engine: Engine, batch: int, rate: int | None, source: Sequence[Command]) -> None:
    sessions = [engine.open(rate=rate) for _ in range(batch)]
    for session in sessions:
        for command in (*source, End()):
            engine.feed(session, command)
    done = 0
    while engine.ready:
        for _, event in engine.tick():
            if isinstance(event, Error):
                raise WarmUpFailed(f"{event.code}: {event.text}")
            done += isinstance(event, Done)
    if done != batch:
        raise WarmUpFailed(f"{done} of {batch} sessions came to an end")
