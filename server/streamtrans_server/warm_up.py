"""Sentences that make the engine do everything once before the first client comes.

This file knows what to say; it does not know the model, nor threads.
"""

from __future__ import annotations

from streamtrans.engine import Engine
from streamtrans.messages import Done, End, Error, Text

SENTENCES = ("Good morning, and thank you all for coming. ", "It is 12.30 in Geneva, is it not? ")
BATCHES = (1, 16)  # sessions at once, as far as there are slots


class WarmUpFailed(RuntimeError):
    """The engine cannot translate: the server must not start."""


def warm_up(engine: Engine) -> None:
    """Translate `SENTENCES` alone and in batches. Raises WarmUpFailed when one does not finish."""
    for batch in sorted({min(batch, engine.max_sessions) for batch in BATCHES}):
        sessions = [engine.open() for _ in range(batch)]
        for session in sessions:
            for sentence in SENTENCES:
                engine.feed(session, Text(sentence, 0.0))
            engine.feed(session, End())
        done = 0
        while engine.ready:
            for _, event in engine.tick():
                if isinstance(event, Error):
                    raise WarmUpFailed(f"{event.code}: {event.text}")
                done += isinstance(event, Done)
        if done != batch:
            raise WarmUpFailed(f"{done} of {batch} sessions came to an end")
