"""Sockets whose handshake is not done: at most so many, and the one that has taken longest goes first.

A client that opens sockets and says nothing, or says it byte by byte, would else keep everybody out. An honest
handshake takes milliseconds, so under such an attack it is seldom the oldest.
"""

from __future__ import annotations

from typing import Any

from streamtrans_server.websocket import Websocket


class Handshakes:
    """`connection` makes the websockets, `done` is called with each that got through."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Websocket, None] = {}  # oldest first

    def connection(self, *args: Any, **options: Any) -> Websocket:
        """A websocket that is counted from the moment its socket is accepted."""
        socket = Websocket(*args, **options)
        socket.on_made = self._made
        socket.on_gone = self.done
        return socket

    def done(self, socket: Websocket) -> None:
        """Its handshake is over, whatever came of it."""
        self._open.pop(socket, None)

    def _made(self, socket: Websocket) -> None:
        self._open[socket] = None
        if len(self._open) > self._most:
            oldest = next(iter(self._open))
            self.done(oldest)
            oldest.transport.abort()
