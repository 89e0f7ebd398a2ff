"""A text or a recording through a session, and when each word came back.

This file knows what a committed word waited for: a source word that was typed, or the sound in which one ended. It does
not know where the source comes from (see `pieces`, `recording`) nor how words are shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from streamtrans.messages import Draft, Segment, Source, Target
from streamtrans_clients.errors import SessionFailed
from streamtrans_clients.session import Session
from streamtrans_clients.sound_clock import SoundClock
from streamtrans_clients.word_clock import WordClock

Piece = TypeVar("Piece", str, bytes)
Taken = TypeVar("Taken", str, bytes, contravariant=True)


@dataclass(frozen=True)
class Timed:
    """A word that was READ or committed; times in seconds of the client's clock.

    The last source word READ by then went out at `sent_at`; if it was spoken, the piece of sound in which it ended.
    """

    event: Source | Target
    sent_at: float
    received_at: float

    @property
    def side(self) -> Literal["source", "target"]:
        """Which language it is."""
        return "source" if isinstance(self.event, Source) else "target"

    @property
    def text(self) -> str:
        """The word."""
        return self.event.text

    @property
    def lag_ms(self) -> float:
        """Computation-aware lag: what the server, the network and the load add to the policy, and of speech what the
        recogniser waits for."""
        return (self.received_at - self.sent_at) * 1000


class Clock(Protocol[Taken]):
    """When each source word went out: `WordClock`, `SoundClock`."""

    def sent(self, piece: Taken, now: float) -> None: ...

    def read(self, word: Source) -> None: ...

    def cut(self, now: float) -> None: ...

    def of(self, number: int) -> float: ...


def stream(
    session: Session, text: AsyncIterator[str], clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Timed | Draft | Segment]:
    """Send the pieces, end the session, and yield each word as it comes back, to the last; drafts, if it has any.

    Raises SessionFailed, or what `text` raises.
    """
    return _stream(session, text, WordClock(), session.send_text, clock)


def stream_sound(
    session: Session,
    sound: AsyncIterator[bytes],
    rate: int,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Timed | Draft | Segment]:
    """The same with pieces of sound: s16le of `rate` samples a second, the rate of the session."""
    return _stream(session, sound, SoundClock(rate), session.send_audio, clock)


async def _stream(
    session: Session,
    pieces: AsyncIterator[Piece],
    words: Clock[Piece],
    send: Callable[[Piece], Awaitable[None]],
    clock: Callable[[], float],
) -> AsyncIterator[Timed | Draft | Segment]:
    sending = asyncio.create_task(_send(session, pieces, words, send, clock))
    try:
        async for event in session:
            now = clock()
            if isinstance(event, Source):
                words.read(event)
                yield Timed(event, words.of(event.index + 1), now)
            elif isinstance(event, Target):
                yield Timed(event, words.of(event.read), now)
            elif isinstance(event, (Draft, Segment)):
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
    session: Session,
    pieces: AsyncIterator[Piece],
    words: Clock[Piece],
    send: Callable[[Piece], Awaitable[None]],
    clock: Callable[[], float],
) -> None:
    try:
        async for piece in pieces:
            words.sent(piece, clock())
            await send(piece)
        words.cut(clock())
        await session.end()
    except SessionFailed:
        return  # the events tell why
    except Exception:
        with contextlib.suppress(asyncio.CancelledError):
            await session.abort()  # or the events would be waited for without end
        raise
