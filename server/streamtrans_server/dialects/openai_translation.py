"""OpenAI Realtime translation: speech in, the translation's transcript out, appended to and never changed.

This file knows the events of `/v1/realtime/translations`. It does not know sockets, nor how a session translates.
There is no `session.output_audio.delta`: this server does not speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from msgspec import UNSET, UnsetType

from streamtrans.messages import Audio, Done, End, FromClient, FromServer, SetPolicy, Source, Target
from streamtrans_server.dialects.dialect import Asked, Reply, refused
from streamtrans_server.dialects.openai_events import (
    Append,
    ClientEvent,
    Delay,
    Fault,
    NoiseReduction,
    Part,
    Realtime,
    by_type,
    sound,
    spaced,
)

POLICIES: dict[str, str] = {
    "minimal": "wait-1",
    "low": "wait-2",
    "medium": "wait-3",
    "high": "wait-5",
    "xhigh": "wait-7",
}


class _Transcribed(Part, frozen=True):
    model: str
    delay: Delay | None | UnsetType = UNSET  # of the translation: a policy


class _Input(Part, frozen=True):
    transcription: _Transcribed | None | UnsetType = UNSET
    noise_reduction: NoiseReduction | None | UnsetType = UNSET


class _Output(Part, frozen=True):
    language: str | None = None


class _Audio(Part, frozen=True):
    input: _Input = _Input()
    output: _Output = _Output()


class _Session(Part, frozen=True):
    type: str | None = None
    model: str | None = None
    audio: _Audio = _Audio()


class _Update(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    session: _Session


class _Append(Append, frozen=True, tag="session.input_audio_buffer.append"):
    pass


class _Close(ClientEvent, frozen=True, tag="session.close"):
    pass


class Translation(Realtime):
    """`?model=` is required and may be any name: there is one model, and `session.created` names it."""

    events: ClassVar[Mapping[str, type[ClientEvent]]] = by_type(_Update, _Append, _Close)

    def __init__(self, asked: Asked) -> None:
        if not asked.query.get("model"):
            raise refused("model: the query has to name one")
        super().__init__(asked)
        self._transcription: _Transcribed | None = None
        self._closing = False
        self._begun = {Source: False, Target: False}  # has a word of it gone out?

    # in

    def obey(self, event: ClientEvent) -> Iterable[FromClient | Audio | Reply]:
        if self._closing:
            raise Fault("session_closing", "nothing may follow session.close")
        if isinstance(event, _Append):
            return sound(event)
        if isinstance(event, _Update):
            return self._update(event.session)
        self._closing = True
        return (End(),)

    def _update(self, session: _Session) -> list[FromClient | Audio | Reply]:
        given, target = session.audio.input, session.audio.output.language
        if session.type not in (None, "translation"):
            raise Fault("invalid_value", "the type is translation", "session.type")
        if session.model not in (None, self.model):
            raise Fault("invalid_value", f"the model is {self.model}", "session.model")
        if target is not None and target != self.offer.target:
            text = f"this server translates {self.offer.source} to {self.offer.target}"
            raise Fault("unsupported_language", text, "session.audio.output.language")
        self.no_noise_reduction(given.noise_reduction)
        answers: list[FromClient | Audio | Reply] = []
        if not isinstance(given.transcription, UnsetType):
            self._transcription = given.transcription
            if given.transcription and given.transcription.delay:
                answers.append(SetPolicy(POLICIES[given.transcription.delay]))
        return [*answers, self.event("session.updated", session=self.described())]

    # out

    def told(self, event: FromServer) -> Iterator[bytes]:
        if isinstance(event, Target):
            yield self._delta("session.output_transcript.delta", event)
        elif isinstance(event, Source) and self._transcription is not None:
            yield self._delta("session.input_transcript.delta", event)
        elif isinstance(event, Done):
            yield self.event("session.closed")

    def _delta(self, kind: str, word: Source | Target) -> bytes:
        first, self._begun[type(word)] = not self._begun[type(word)], True
        return self.event(kind, delta=spaced(word.text, first), elapsed_ms=round(word.at))

    def described(self) -> dict[str, Any]:
        return {
            "id": f"sess_{self.session}",
            "type": "translation",
            "model": self.model,
            "expires_at": self.expires_at,
            "audio": {
                "input": {"transcription": self._transcription, "noise_reduction": None},
                "output": {"language": self.offer.target},
            },
        }
