"""Speakers over a websocket: the native protocol and simulstream's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from streamtrans.messages import (
    Done,
    End,
    Error,
    FromServer,
    Ready,
    Start,
    Target,
    Text,
)
from streamtrans_clients.load.script import PIECE_MS, RATE
from streamtrans_clients.load.speaker import Speaker

EXACT = 1e-6  # pieces: `at` is a float, and the end of a piece is no part of the next
_decode = msgspec.json.Decoder(FromServer).decode
_encode = msgspec.json.Encoder().encode


class WebSocketSpeaker(Speaker):
    """A subclass says what opens a session (`opened`) and what a text message means (`heard`)."""

    def __init__(
        self, url: str, items: Iterator[str | bytes], interval: float, until: float
    ) -> None:
        super().__init__(items, interval, until)
        self._protocol = ClientProtocol(parse_uri(url))

    def opened(self) -> None:
        """The handshake is done."""
        raise NotImplementedError

    def heard(self, message: bytes) -> None:
        """One text message of the server."""
        raise NotImplementedError

    def greet(self) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self.heard(bytes(event.data))
            elif self._protocol.handshake_exc:
                self.failed(str(self._protocol.handshake_exc))
            else:
                self.opened()
        self._flush()

    def send(self, message: str | bytes | bytearray, binary: bool = False) -> None:
        """One message, at once."""
        data = message.encode() if isinstance(message, str) else message
        (self._protocol.send_binary if binary else self._protocol.send_text)(data)
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)


class Native(WebSocketSpeaker):
    """`item` of a committed word: its `read` for text, for audio the piece with which `at` ms had been sent."""

    def __init__(
        self,
        url: str,
        opening: Start,
        items: Iterator[str | bytes],
        interval: float,
        until: float,
    ) -> None:
        super().__init__(url, items, interval, until)
        self._opening = opening
        self._text = opening.kind == "text"

    def opened(self) -> None:
        self.send(_encode(self._opening))

    def heard(self, message: bytes) -> None:
        event = _decode(message)
        if isinstance(event, Target):
            item = event.read if self._text else math.ceil(event.at / PIECE_MS - EXACT)
            self.committed(item - 1)
        elif isinstance(event, Ready):
            self.start()
        elif isinstance(event, Error):
            self.failed(event.code)
        elif isinstance(event, Done):
            if self._text and event.source_words < self.sent:
                self.failed("words lost")
            self.finished()

    def say(self, item: str | bytes) -> None:
        if isinstance(item, str):
            self.send(_encode(Text(item + " ")))
        else:
            self.send(item, binary=True)

    def finish(self) -> None:
        self.send(_encode(End()))


class Simulstream(WebSocketSpeaker):
    """simulstream's server answers each chunk (`chunk` pieces) with one message, empty or not, and nothing else.

    So the n-th message is about the n-th chunk, and what it brings could be committed when that chunk was sent.
    """

    def __init__(
        self,
        url: str,
        languages: tuple[str, str],
        chunk: int,
        items: Iterator[str | bytes],
        interval: float,
        until: float,
    ) -> None:
        super().__init__(url, items, interval, until)
        self._languages, self._chunk, self._answers = languages, chunk, 0

    def opened(self) -> None:
        source, target = self._languages
        metadata = {"sample_rate": RATE, "source_lang": source, "target_lang": target}
        self.send(json.dumps(metadata))
        self.start()

    def heard(self, message: bytes) -> None:
        answer = json.loads(message)
        if "end_of_processing" in answer:
            self.finished()
            return
        self._answers += 1
        self.committed(
            self._answers * self._chunk - 1, len(answer["new"].split(" ")) if answer["new"] else 0
        )

    def say(self, item: str | bytes) -> None:
        self.send(item, binary=True)

    def finish(self) -> None:
        self.send(json.dumps({"end_of_stream": True}))
