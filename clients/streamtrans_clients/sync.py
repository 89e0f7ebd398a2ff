"""A session with a streamtrans server, without asyncio.

The same verbs and events as `connection`, in plain calls. This file does not know where text comes
from. Read while you write: to do both at once, use a thread or `connection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from streamtrans.messages import Done, End, Event, Flush, Mark, Ready, SetPolicy, Text
from streamtrans_clients import wire
from streamtrans_clients.errors import lost, refused

CLOSE_TIMEOUT = 2.0  # s


class SyncSession:
    """Verbs go out, typed events come in by iteration, which ends after `Done`."""

    def __init__(self, socket: ClientConnection, ready: Ready) -> None:
        self._socket = socket
        self._done = False
        self.ready = ready

    def send_text(self, text: str, at: float | None = None) -> None:
        """A piece of source text of any size; `at` is the source clock in ms, else the server's."""
        self._send(Text(text, at))

    def flush(self) -> None:
        """Have all that was sent translated and committed, and go on."""
        self._send(Flush())

    def mark(self, id: str) -> None:
        """Ask for `Marked` with this id once all that was sent is READ."""
        self._send(Mark(id))

    def set_policy(self, policy: str) -> None:
        """Change the policy, for example to wait-5."""
        self._send(SetPolicy(policy))

    def end(self) -> None:
        """No more text: the rest of the events comes, then `Done`."""
        self._send(End())

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """Raises SessionFailed when the session fails."""
        if self._done:
            raise StopIteration
        try:
            event = wire.event(self._socket.recv())
        except ConnectionClosed as error:
            raise lost(error) from error
        self._done = isinstance(event, Done)
        return event

    def _send(self, message: msgspec.Struct) -> None:
        try:
            self._socket.send(wire.frame(message))
        except ConnectionClosed as error:
            raise lost(error) from error


@contextmanager
def open_sync(
    url: str,
    source: str = "en",
    target: str = "fr",
    policy: str | None = None,
    proxy: str | None = None,
) -> Iterator[SyncSession]:
    """Open a session; raises what `connection.connect` raises."""
    try:
        socket = connect_websocket(url, compression=None, proxy=proxy, close_timeout=CLOSE_TIMEOUT)
    except (InvalidHandshake, InvalidURI) as error:
        raise refused(error) from error
    with socket:
        try:
            socket.send(wire.start(source, target, policy))
            ready = wire.ready(socket.recv())
        except ConnectionClosed as error:
            raise lost(error) from error
        yield SyncSession(socket, ready)
