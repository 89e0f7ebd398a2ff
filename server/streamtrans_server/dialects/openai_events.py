"""What both kinds of OpenAI Realtime session share: how events are read, numbered and refused.

This file knows the envelope of an event and the shape of an error. It does not know what a session is for.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
from websockets.frames import Opcode

from streamtrans.messages import Audio, FromClient, FromServer, Ready
from streamtrans_server.dialects.dialect import Asked, Dialect, Payload, Reply
from streamtrans_server.failure import Failure

RATE = 24_000  # the protocol has no other
YEAR = (
    365 * 24 * 3600
)  # s; `expires_at` of a session without a time limit, which the protocol wants to know
PIECE = 48_000  # bytes of one message of sound to the session: 1 s
OURS = frozenset(
    {"internal", "overloaded", "draining", "slow_reader"}
)  # codes that are no fault of the request

Delay = Literal["minimal", "low", "medium", "high", "xhigh"]


class ClientEvent(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """An event of a client; a field that is not listed is an error."""

    event_id: str | None = None


def by_type(*kinds: type[ClientEvent]) -> dict[str, type[ClientEvent]]:
    """Kinds of events by the `type` that names each."""
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a configuration. UNSET: the client does not speak of it."""


class Append(ClientEvent, frozen=True, kw_only=True):
    """Sound in base64: PCM16, 24 kHz, mono, little-endian, in pieces of any size."""

    audio: str


class NoiseReduction(Part, frozen=True):
    type: str | None = None
    strength: float | None = None


class Fault(Exception):
    """An event that cannot be obeyed; the session lives on."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


class _Envelope(msgspec.Struct):
    type: str
    event_id: str | None = None


E = TypeVar("E", bound=ClientEvent)


class Realtime(Dialect):
    """A session that is open from the start; frames of text only."""

    subprotocols: ClassVar[tuple[str, ...]] = ("realtime",)
    events: ClassVar[Mapping[str, type[ClientEvent]]]  # by their `type`

    def __init__(self, asked: Asked) -> None:
        self.start = asked.start(RATE)
        self.offer = asked.offer
        self.model = asked.offer.model
        self.session = ""
        self._numbered = 0
        seconds = asked.config.max_session_seconds or YEAR
        self.expires_at = int(time.time() + seconds)

    # in

    def hear(self, opcode: Opcode, frame: Payload) -> Iterator[FromClient | Audio | Reply]:
        event_id = None
        try:
            if opcode is Opcode.BINARY:
                raise Fault("invalid_event", "events are text; audio goes into them in base64")
            envelope = _decoded(frame, _Envelope)
            event_id = envelope.event_id
            kind = self.events.get(envelope.type)
            if kind is None:
                raise Fault("unknown_event", f"no event {envelope.type[:60]!r} here", "type")
            yield from self.obey(_decoded(frame, kind))
        except Fault as fault:
            yield self.error(fault.code, fault.message, fault.param, event_id)

    @abstractmethod
    def obey(self, event: ClientEvent) -> Iterable[FromClient | Audio | Reply]:
        """What an event means. Raises Fault before anything is changed."""

    # out

    def tell(self, events: Sequence[FromServer], clock: float) -> list[bytes]:
        frames: list[bytes] = []
        for event in events:
            if isinstance(event, Ready):
                self.session = event.session
                frames.append(self.event("session.created", session=self.described()))
            else:
                frames += self.told(event)
        return frames

    @abstractmethod
    def told(self, event: FromServer) -> Iterable[bytes]:
        """The frames of one event."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """The configuration in force."""

    def farewell(self, failure: Failure) -> list[bytes]:
        return [self.error(failure.code, failure.text)]

    def event(self, kind: str, **fields: Any) -> bytes:
        self._numbered += 1
        number = f"event_{self.session}_{self._numbered}"
        return msgspec.json.encode({"type": kind, "event_id": number, **fields})

    def error(
        self, code: str, message: str, param: str | None = None, event_id: str | None = None
    ) -> bytes:
        kind = "server_error" if code in OURS else "invalid_request_error"
        fields = {"code": code, "message": message, "param": param, "event_id": event_id}
        return self.event("error", error={"type": kind, **fields})

    def no_noise_reduction(self, asked: NoiseReduction | None | msgspec.UnsetType) -> None:
        if isinstance(asked, NoiseReduction) and asked.type is not None:
            param = "session.audio.input.noise_reduction"
            raise Fault("unsupported_value", "there is no noise reduction: set it to null", param)


def sound(append: Append) -> Iterator[Audio]:
    """The bytes of an `append`. Raises Fault."""
    try:
        data = base64.b64decode(append.audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault("invalid_audio", f"not base64: {error}", "audio") from None
    return (Audio(data[at : at + PIECE]) for at in range(0, len(data), PIECE))


def spaced(word: str, first: bool) -> str:
    """A word as it is appended to those before it."""
    return word if first else f" {word}"


S = TypeVar("S", bound=msgspec.Struct)


def _decoded(frame: Payload, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(frame, type=kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at ")
        if unknown := re.search(r"unknown field `(.*)`", text):
            path += f".{unknown[1]}"
        raise Fault("invalid_value", text, path.replace("`", "").strip("$.") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("invalid_json", f"not JSON: {type(error).__name__}") from None
