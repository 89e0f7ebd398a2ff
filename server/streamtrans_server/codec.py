"""The native dialect: a websocket text frame is one message in JSON, a binary frame is audio.

This file knows how a frame becomes a message and an event a frame, and names what can be wrong
with a frame alone. It does not know the order of messages, sessions or sockets.
"""

from __future__ import annotations

import msgspec

from streamtrans.messages import Audio, FromClient, FromServer, Target
from streamtrans_server.failure import Failure

_decoder: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)
_encoder = msgspec.json.Encoder()


def decode(frame: bytes | bytearray | memoryview, binary: bool = False) -> FromClient | Audio:
    """One message of a client. Raises Failure bad_json or bad_message."""
    if binary:
        return Audio(bytes(frame))
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError as error:
        raise Failure("bad_message", str(error)) from None
    except msgspec.DecodeError as error:
        raise Failure("bad_json", str(error)) from None
    except UnicodeDecodeError:
        raise Failure("bad_json", "the frame is not valid UTF-8") from None
    except RecursionError:
        raise Failure("bad_json", "the frame is nested too deeply") from None


def encode(message: FromServer, clock: float) -> bytes:
    """One frame for a client; a committed word is stamped with the server's clock (ms)."""
    if type(message) is Target:
        message = Target(message.seq, message.text, message.index, message.read, message.at, clock)
    return _encoder.encode(message)
