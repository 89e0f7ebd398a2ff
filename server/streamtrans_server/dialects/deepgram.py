"""Deepgram's live transcription: binary frames of speech in, results with the times of their words out.

This file knows the messages of `/v1/listen` and when a result is final. It does not know sockets, nor how speech is
recognised. It is recognition alone: its messages have no place for a translation.

A result grows word by word (`is_final` false, for those who want interim results) until the speaker pauses, the client
says Finalize, or it has become LONGEST ms long; then it is final, and the next one begins where it ended.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from websockets.frames import Opcode

from streamtrans.messages import (
    Audio,
    Done,
    End,
    Flush,
    FromClient,
    FromServer,
    Mark,
    Marked,
    Segment,
    Source,
)
from streamtrans_server.dialects.deepgram_query import Listening
from streamtrans_server.dialects.dialect import Asked, Dialect, Payload, Reply
from streamtrans_server.failure import Failure

LONGEST = 3000.0  # ms
CHANNEL = (0, 1)  # the first of one
SURE = 1.0  # a word is committed for good; there is no probability to tell
PUNCTUATION = '.,;:!?"()\u00ab\u00bb\u2026'


class _Control(msgspec.Struct, frozen=True):
    type: str


class Deepgram(Dialect):
    """The query says what is wanted; see `Listening`."""

    subprotocols = ("token", "bearer")

    def __init__(self, asked: Asked) -> None:
        asked.needs_speech()
        self._wanted = Listening.of(asked)
        self.start = asked.start(self._wanted.rate, pause=self._wanted.pause)
        self._request = str(uuid.uuid4())
        self._model = asked.offer.model
        self._largest = asked.config.max_message_bytes
        self._created = datetime.now(UTC)
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._words: list[Source] = []  # of the result that is not final
        self._covered = 0.0  # ms, where the last final result ended
        self._speaking = False  # a word came since the last pause
        self._pausing = False  # a segment has ended, perhaps for the answer to Finalize
        self._finalizing = 0  # Finalize that are not yet answered
        self._closing = False

    # in

    def hear(self, opcode: Opcode, frame: Payload) -> Iterable[FromClient | Audio | Reply]:
        if self._closing:
            return ()
        if opcode is Opcode.BINARY:
            self._bytes += len(frame)
            self._digest.update(frame)
            return (Audio(bytes(frame)),)
        return self._control(frame)

    def _control(self, frame: Payload) -> Iterable[FromClient | Reply]:
        if len(frame) > self._largest:
            return (_error("SchemaError", f"a message holds at most {self._largest} bytes"),)
        try:
            kind = msgspec.json.decode(frame, type=_Control).type
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return (_error("SchemaError", "a message is a JSON object with a type"),)
        if kind == "KeepAlive":
            return ()
        if kind == "Finalize":
            self._finalizing += 1
            return Flush(), Mark("finalize")
        if kind == "CloseStream":
            self._closing = True
            return (End(),)
        return (_error("SchemaError", f"no message {kind[:40]!r} is known"),)

    # out

    def tell(self, events: Sequence[FromServer], clock: float) -> list[bytes]:
        frames: list[bytes] = []
        heard = len(self._words)
        for event in events:
            if self._pausing and not isinstance(event, Marked):
                frames += self._paused()
            if isinstance(event, Source):
                frames += self._word(event)
            elif isinstance(event, Segment):
                self._pausing = event.end is not None  # else it was cut while somebody spoke
                if self._pausing and not self._finalizing:
                    frames += self._paused()
            elif isinstance(event, Marked):
                self._finalizing -= 1
                self._pausing = self._speaking = False
                frames.append(self._final(self._words, ended=True, from_finalize=True))
            elif isinstance(event, Done):
                frames.append(_frame(self._metadata()))
        if self._wanted.interim and self._words and len(self._words) != heard:
            frames.append(self._result(self._words, final=False))
        return frames

    def _word(self, word: Source) -> Iterator[bytes]:
        if not self._speaking:
            self._speaking = True
            if self._wanted.voice:
                started = {"channel": CHANNEL, "timestamp": _seconds(_begin(word))}
                yield _frame({"type": "SpeechStarted", **started})
        if self._words and _end(word) - _begin(self._words[0]) > LONGEST:
            yield self._final(self._words)
        self._words.append(word)

    def _paused(self) -> Iterator[bytes]:
        """A result keeps its last words until now, so that what is `speech_final` is never empty."""
        self._pausing = self._speaking = False
        if not self._words:
            return
        last = _seconds(_end(self._words[-1]))
        yield self._final(self._words, ended=self._wanted.ends)
        if self._wanted.utterances:
            yield _frame({"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": last})

    def _final(
        self, words: Sequence[Source], ended: bool = False, from_finalize: bool = False
    ) -> bytes:
        frame = self._result(words, final=True, ended=ended, from_finalize=from_finalize)
        self._covered = _end(words[-1]) if words else self._covered
        self._words = []
        return frame

    def _result(
        self, words: Sequence[Source], final: bool, ended: bool = False, from_finalize: bool = False
    ) -> bytes:
        end = _end(words[-1]) if words else self._covered
        alternative = {
            "transcript": " ".join(word.text for word in words),
            "confidence": SURE if words else 0.0,
            "words": [_described(word) for word in words],
        }
        return _frame(
            {
                "type": "Results",
                "channel_index": CHANNEL,
                "start": _seconds(self._covered),
                "duration": _seconds(end - self._covered),
                "is_final": final,
                "speech_final": ended,
                "from_finalize": from_finalize,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": self._request,
                    "model_info": self._model_info(),
                    "model_uuid": self._model_uuid,
                },
            }
        )

    @property
    def _model_uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self._model))

    def _model_info(self) -> dict[str, str]:
        return {"name": self._model, "version": "1", "arch": "streamtrans"}

    def _metadata(self) -> dict[str, Any]:
        return {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self._request,
            "sha256": self._digest.hexdigest(),
            "created": self._created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(self._bytes / 2 / self._wanted.rate, 3),
            "channels": 1,
            "models": [self._model_uuid],
            "model_info": {self._model_uuid: self._model_info()},
        }

    def farewell(self, failure: Failure) -> list[bytes]:
        return [_error(failure.code, failure.text)]


def _error(variant: str, description: str) -> bytes:
    return _frame({"type": "Error", "variant": variant, "description": description})


def _frame(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message)


def _described(word: Source) -> dict[str, Any]:
    return {
        "word": word.text.strip(PUNCTUATION).lower() or word.text,
        "start": _seconds(_begin(word)),
        "end": _seconds(_end(word)),
        "confidence": SURE,
        "punctuated_word": word.text,
    }


def _begin(word: Source) -> float:
    return word.at if word.begin is None else word.begin


def _end(word: Source) -> float:
    return word.at if word.end is None else word.end


def _seconds(ms: float) -> float:
    return round(ms / 1000, 3)
