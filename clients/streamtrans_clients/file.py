"""A text through a session, word by word, and when each word came back.

This file knows which source word a committed word waited for. It does not know where the text
comes from (see `pieces`) nor how it is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from streamtrans.messages import Segment, Source, Target
from streamtrans_clients.connection import Session
from streamtrans_clients.errors import SessionFailed
from streamtrans_clients.word_clock import WordClock


@dataclass(frozen=True)
class Timed:
    """A word that was READ (source) or committed (target); times in seconds of the client's clock.

    `read` counts the source words READ by then; the last of them went out at `sent_at`.
    """

    side: Literal["source", "target"]
    text: str
    index: int
    read: int
    sent_at: float
    received_at: float

    @property
    def lag_ms(self) -> float:
        """Computation-aware lag: what the server, the network and the load add to the policy."""
        return (self.received_at - self.sent_at) * 1000


async def stream(
    session: Session, pieces: AsyncIterator[str], clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Timed | Segment]:
    """Send the pieces, end the session, and yield each word as it comes back, to the last.

    Raises SessionFailed, or what `pieces` raises.
    """
    words = WordClock()
    sending = asyncio.create_task(_send(session, pieces, words, clock))
    try:
        async for event in session:
            now = clock()
            if isinstance(event, Source):
                read = event.index + 1
                yield Timed("source", event.text, event.index, read, words.of(read), now)
            elif isinstance(event, Target):
                sent_at = words.of(event.read)
                yield Timed("target", event.text, event.index, event.read, sent_at, now)
            elif isinstance(event, Segment):
                yield event
    except SessionFailed:
        sending.cancel()
        (error,) = await asyncio.gather(sending, return_exceptions=True)
        if isinstance(error, Exception):
            raise error from None
        raise
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(
    session: Session, pieces: AsyncIterator[str], words: WordClock, clock: Callable[[], float]
) -> None:
    try:
        async for piece in pieces:
            words.sent(piece, clock())
            await session.send_text(piece)
        words.cut(clock())
        await session.end()
    except SessionFailed:
        return  # the events tell why
    except Exception:
        with contextlib.suppress(asyncio.CancelledError):
            await session.abort()  # or the events would be waited for without end
        raise
