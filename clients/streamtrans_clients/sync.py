"""A session with a streamtrans server, without asyncio.

The same verbs and events as in session.py, in plain calls: an event loop in a thread does the work, so that a plain
program, too, comes back after a lost connection. This file does not know where text comes from. Read while you write:
to do both at once, use a thread or `connect`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from streamtrans.messages import Event, Ready
from streamtrans_clients.connection import connect
from streamtrans_clients.session import Session

T = TypeVar("T")


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="streamtrans", daemon=True
        )
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncSession:
    """Verbs go out, typed events come in by iteration, which ends after `Done`."""

    def __init__(self, loop: _Loop, session: Session) -> None:
        self._loop, self._session = loop, session

    @property
    def ready(self) -> Ready:
        """The first answer of the server."""
        return self._session.ready

    def send_text(self, text: str, at: float | None = None) -> None:
        """A piece of source text of any size; `at` is the source clock in ms, else the time since the opening."""
        self._loop.wait(self._session.send_text(text, at))

    def send_audio(self, data: bytes) -> None:
        """Sound as it is heard, any number of bytes: 16-bit little-endian PCM, one channel, at the session's rate."""
        self._loop.wait(self._session.send_audio(data))

    def flush(self) -> None:
        """Have all that was sent translated and committed, and go on."""
        self._loop.wait(self._session.flush())

    def mark(self, id: str) -> None:
        """Ask for `Marked` with this id once all that was sent is READ."""
        self._loop.wait(self._session.mark(id))

    def set_policy(self, policy: str) -> None:
        """Change the policy, for example to wait-5."""
        self._loop.wait(self._session.set_policy(policy))

    def end(self) -> None:
        """No more source: the rest of the events comes, then `Done`."""
        self._loop.wait(self._session.end())

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """Raises SessionFailed when the session fails."""
        event = self._loop.wait(self._next())
        if event is None:
            raise StopIteration
        return event

    async def _next(self) -> Event | None:
        try:
            return await anext(self._session)
        except StopAsyncIteration:
            return None


@contextmanager
def open_sync(
    url: str,
    source: str = "en",
    target: str = "fr",
    policy: str | None = None,
    proxy: str | None = None,
    **options: Any,
) -> Iterator[SyncSession]:
    """Open a session; the options are those of `connection.connect`, and it raises what that raises."""
    loop = _Loop()
    try:
        opening = connect(url, source, target, policy, proxy, **options)
        session = loop.wait(opening.__aenter__())
        try:
            yield SyncSession(loop, session)
        finally:
            loop.wait(opening.__aexit__(None, None, None))
    finally:
        loop.stop()
