"""What a protocol is to this server: frames of a client become messages, events become frames.

This file knows the seam between a connection and what is spoken over it. It does not know any protocol, nor sockets.
A dialect is one object for each connection and does no I/O: it is told frames and events and returns what they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from websockets.frames import Opcode

from streamtrans.audio.segments import PAUSES
from streamtrans.messages import PROTOCOL_VERSION, Audio, FromClient, FromServer, Start
from streamtrans.policy import PolicyError, parse
from streamtrans_server.admission import Refusal
from streamtrans_server.config import ServerConfig
from streamtrans_server.failure import Failure
from streamtrans_server.offer import Offer

Payload = bytes | bytearray | memoryview
Reply = bytes  # a frame that answers the client at once, without the session


@dataclass(frozen=True)
class Asked:
    """A handshake: its query, and what the server has to offer."""

    query: dict[str, str]
    offer: Offer
    config: ServerConfig

    def start(
        self, rate: int, source: str = "", target: str = "", pause: int | None = None
    ) -> Start:
        """A session of audio; `policy` of the query, languages of the offer by default. pause: ms of silence that end
        a segment, of what may be asked for the nearest. Raises Refusal.
        """
        offer = self.offer
        self.needs_speech()
        policy = self.query.get("policy")
        if policy is not None:
            try:
                parse(policy)
            except PolicyError as error:
                raise refused(f"policy: {error}") from None
        return Start(
            PROTOCOL_VERSION,
            source or offer.source,
            target or offer.target,
            kind="audio",
            policy=policy,
            rate=rate,
            pause=None if pause is None else min(max(pause, PAUSES[0]), PAUSES[1]),
        )

    def needs_speech(self) -> None:
        """Raises Refusal when the server only reads."""
        if "audio" not in self.offer.kinds:
            text = "this server has no recogniser of speech: it takes text, at /v1/translate"
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "no_speech", text)


class Dialect(ABC):
    """One conversation in one protocol.

    start: opens the session before the client says anything; None: a frame of the client does.
    """

    subprotocols: ClassVar[tuple[str, ...]] = ()  # of the websocket, which a browser may ask for
    start: Start | None = None

    @abstractmethod
    def hear(self, opcode: Opcode, frame: Payload) -> Iterable[FromClient | Audio | Reply]:
        """What a frame of the client says to the session, and what it is answered at once, in order.

        Raises Failure for what ends the session.
        """

    @abstractmethod
    def tell(self, events: Sequence[FromServer], clock: float) -> list[bytes]:
        """The frames for these events (`Error` is never among them); clock: ms since the session opened."""

    @abstractmethod
    def farewell(self, failure: Failure) -> list[bytes]:
        """The last frames of a session that ends with an error."""

    def reason(self, failure: Failure) -> str:
        """What the close frame says."""
        return failure.code


def refused(text: str) -> Refusal:
    """The query asks for what is not there."""
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_query", text)
