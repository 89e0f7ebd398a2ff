"""The native dialect as a client sees it: a websocket text frame is one message in JSON, a binary frame is audio.

This file knows frames, addresses and which messages end a session. It does not know sockets.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from streamtrans.messages import Audio, Error, Event, FromServer, Ready
from streamtrans_clients.errors import SessionFailed

_decoder: msgspec.json.Decoder[FromServer] = msgspec.json.Decoder(FromServer)
_encoder = msgspec.json.Encoder()


def frame(message: msgspec.Struct) -> str | bytes:
    """Audio as bytes, all else as JSON."""
    if isinstance(message, Audio):
        return message.data
    return _encoder.encode(message).decode()


def returning(url: str, token: str, after: int) -> str:
    """The address of a session that is kept, to go on after event number `after`."""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query), ("resume", token), ("after", str(after))]
    return urlunsplit(parts._replace(query=urlencode(query)))


def ready(data: str | bytes) -> Ready:
    """The server's first message. Raises SessionFailed when it is an error."""
    message = _parse(data)
    if not isinstance(message, Ready):
        raise SessionFailed("bad_server", f"the first message is {type(message).__name__}")
    return message


def event(data: str | bytes) -> Event:
    """Any later message. Raises SessionFailed when it is an error."""
    message = _parse(data)
    if isinstance(message, Ready):
        raise SessionFailed("bad_server", "ready came twice")
    return message


def _parse(data: str | bytes) -> FromServer:
    try:
        message = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise SessionFailed("bad_server", f"not a message of version 1: {error}") from error
    if isinstance(message, Error):
        raise SessionFailed(message.code, message.text)
    return message
