"""The server's own protocol, docs/protocol.md: each message is a frame. See `codec.py` for their form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from websockets.frames import Opcode

from streamtrans.messages import Audio, Error, FromClient, FromServer
from streamtrans_server.codec import decode, encode
from streamtrans_server.dialects.dialect import Asked, Dialect, Payload
from streamtrans_server.failure import Failure


class Native(Dialect):
    """The client says what it wants in `start`; the query is the handshake's."""

    def __init__(self, asked: Asked) -> None:
        self._largest = asked.config.max_message_bytes

    def hear(self, opcode: Opcode, frame: Payload) -> Iterable[FromClient | Audio]:
        binary = opcode is Opcode.BINARY
        if not binary and len(frame) > self._largest:
            raise Failure("too_large", f"one message holds at most {self._largest} bytes")
        return (decode(frame, binary),)

    def tell(self, events: Sequence[FromServer], clock: float) -> list[bytes]:
        return [encode(event, clock) for event in events]

    def farewell(self, failure: Failure) -> list[bytes]:
        return [encode(Error(failure.code, failure.text), 0.0)]
