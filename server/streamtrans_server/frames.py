"""Python objects over a stream socket between this server's own processes: a length, then a pickle.

Pickles run code: this is for the sockets that a server made for its workers, never for one that a stranger can reach.
"""

from __future__ import annotations

import asyncio
import pickle
import socket as sockets
import struct
from typing import Any

_LENGTH = struct.Struct("!I")


def frame(message: object) -> bytes:
    """The bytes of one message."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> Any:
    """The next message. Raises EOFError when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error


def wait(socket: sockets.socket) -> Any:
    """As `read`, where there is no loop yet. Takes no byte beyond the message."""
    (length,) = _LENGTH.unpack(_exactly(socket, _LENGTH.size))
    return pickle.loads(_exactly(socket, length))


def _exactly(socket: sockets.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            some = socket.recv(size - len(data))
        except ConnectionError as error:
            raise EOFError from error
        if not some:
            raise EOFError
        data += some
    return data
