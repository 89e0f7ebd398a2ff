"""simulstream's websocket: its clients stream audio and get the translation in increments.

This file knows the messages of `/v1/simulstream`. It does not know sockets, nor how a session translates.
One connection is one stream. The protocol has no message for an error: the close frame names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from websockets.frames import Opcode

from streamtrans.messages import Audio, Done, End, FromClient, FromServer, Start, Target
from streamtrans_server.dialects.dialect import Asked, Dialect, Payload
from streamtrans_server.dialects.simulstream_log import SimulstreamLog
from streamtrans_server.failure import Failure

RATE = 16_000  # of a client that does not say
REASON_BYTES = 123  # what a close frame holds


class _Message(msgspec.Struct, frozen=True):
    """Fields that are not listed are ignored, as simulstream's own server does."""

    sample_rate: int | None = None
    source_lang: str | None = None
    target_lang: str | None = None
    metrics_metadata: dict[str, Any] | None = None
    end_of_stream: Any = msgspec.UNSET


class Simulstream(Dialect):
    """The first frame opens the session; `?policy=wait-5` sets its latency."""

    def __init__(self, asked: Asked) -> None:
        self._default = asked.start(RATE)
        self._largest = asked.config.max_message_bytes
        self._log = SimulstreamLog(asked.config.simulstream_log)
        self._started = self._closing = False
        self._words = 0

    # in

    def hear(self, opcode: Opcode, frame: Payload) -> Iterable[FromClient | Audio]:
        messages = self._sound(frame) if opcode is Opcode.BINARY else self._text(frame)
        if self._started or not messages:
            return messages
        self._started = True
        return (self._start(_Message()), *messages)

    def _sound(self, frame: Payload) -> list[FromClient | Audio]:
        if self._closing:
            raise Failure("bad_order", "nothing may follow end_of_stream")
        self._log.heard(len(frame))
        return [Audio(bytes(frame))]

    def _text(self, frame: Payload) -> list[FromClient | Audio]:
        if len(frame) > self._largest:
            raise Failure("too_large", f"a message holds at most {self._largest} bytes")
        try:
            message = msgspec.json.decode(frame, type=_Message)
        except msgspec.ValidationError as error:
            raise Failure("bad_message", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Failure("bad_json", "a message is a JSON object") from None
        if message.end_of_stream is msgspec.UNSET:
            return self._metadata(message)
        if self._closing:
            raise Failure("bad_order", "nothing may follow end_of_stream")
        self._closing = True
        return [End()]

    def _metadata(self, message: _Message) -> list[FromClient | Audio]:
        """Set before the audio; in the middle of it nothing of a session can be changed."""
        if self._started:
            raise Failure("bad_order", "a stream is described once, before its audio")
        self._started = True
        if message.metrics_metadata is not None:
            self._log.begin(message.metrics_metadata)
        return [self._start(message)]

    def _start(self, message: _Message) -> Start:
        default = self._default
        start = Start(
            default.version,
            (message.source_lang or default.source).lower(),
            (message.target_lang or default.target).lower(),
            kind="audio",
            policy=default.policy,
            rate=default.rate if message.sample_rate is None else message.sample_rate,
        )
        self._log.rate = start.rate or RATE
        return start

    # out

    def tell(self, events: Sequence[FromServer], clock: float) -> list[bytes]:
        frames: list[bytes] = []
        if words := [event for event in events if isinstance(event, Target)]:
            new = " ".join(word.text for word in words)
            frames.append(_increment(new if not self._words else f" {new}"))
            self._words += len(words)
            for at, group in groupby(words, key=attrgetter("at")):
                self._log.written([word.text for word in group], at)
        if events and isinstance(events[-1], Done):
            self._log.end()
            frames += (_increment(""), msgspec.json.encode({"end_of_processing": True}))
        return frames

    def farewell(self, failure: Failure) -> list[bytes]:
        return []

    def reason(self, failure: Failure) -> str:
        text = f"{failure.code}: {failure.text}".encode()[:REASON_BYTES]
        return text.decode(errors="ignore")


def _increment(new: str) -> bytes:
    return msgspec.json.encode({"new": new, "deleted": ""})
