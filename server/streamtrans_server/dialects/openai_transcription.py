"""OpenAI Realtime transcription: speech in, what was said out, item by item.

This file knows the events of `/v1/realtime?intent=transcription` and which words belong to which item. It does not know
sockets, nor how speech is recognised. An item ends where the speaker pauses (`server_vad`) or where the client commits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec import UNSET, UnsetType

from streamtrans.messages import Audio, Flush, FromClient, FromServer, Mark, Marked, Segment, Source
from streamtrans_server.dialects.dialect import Asked, Reply, refused
from streamtrans_server.dialects.openai_events import (
    RATE,
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

DETECTION = {"type": "server_vad"}
MOST_WORDS = 10_000  # of an item that the client never ends


class _Transcribed(Part, frozen=True):
    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Delay | None = None


class _Format(Part, frozen=True):
    type: str | None = None
    rate: int | None = None


class _Detection(Part, frozen=True):
    type: str = "server_vad"
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    eagerness: str | None = None


class _Input(Part, frozen=True):
    format: _Format | None = None
    noise_reduction: NoiseReduction | None | UnsetType = UNSET
    transcription: _Transcribed | None | UnsetType = UNSET
    turn_detection: _Detection | None | UnsetType = UNSET


class _Audio(Part, frozen=True):
    input: _Input = _Input()


class _Session(Part, frozen=True):
    type: str
    audio: _Audio = _Audio()
    include: list[str] | None = None


class _Update(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    session: _Session


class _Append(Append, frozen=True, tag="input_audio_buffer.append"):
    pass


class _Commit(ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    pass


class _Clear(ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    pass


@dataclass
class _Item:
    """What is said between two ends."""

    id: str
    words: list[str] = field(default_factory=list)
    last: float = 0.0  # ms, the end of its last word


@dataclass(frozen=True)
class _Asked:
    """A commit, or a clear, whose sound is not yet heard to its end."""

    commits: bool
    end: float  # s of sound appended until then


class Transcription(Realtime):
    """Other intents than transcription are refused."""

    events: ClassVar[Mapping[str, type[ClientEvent]]] = by_type(_Update, _Append, _Commit, _Clear)

    def __init__(self, asked: Asked) -> None:
        if asked.query.get("intent") != "transcription":
            raise refused(
                "intent: it has to be transcription; translations have a path of their own"
            )
        super().__init__(asked)
        self._transcribed: _Transcribed | None = _Transcribed(model=self.model)
        self._detects = True
        self._appended = 0.0  # s of sound
        self._committed = 0.0  # s of it when the client committed or cleared last
        self._asked: deque[_Asked] = deque()
        self._pause: float | None = (
            None  # ms, where a segment ended that may be the one a commit ends
        )
        self._ended = 0.0  # s, where the last item ended
        self._items = 0
        self._item = self._new_item()
        self._previous: str | None = None  # id of the item that was committed last

    def _new_item(self) -> _Item:
        self._items += 1
        return _Item(f"item_{self._items}")

    # in

    def obey(self, event: ClientEvent) -> Iterable[FromClient | Audio | Reply]:
        if isinstance(event, _Append):
            return self._append(event)
        if isinstance(event, _Update):
            self._update(event.session)
            return (self.event("session.updated", session=self.described()),)
        if isinstance(event, _Clear):
            return (*self._ask(commits=False), self.event("input_audio_buffer.cleared"))
        if self._appended <= self._committed:
            raise Fault(
                "input_audio_buffer_commit_empty", "nothing was appended since the last commit"
            )
        return self._ask(commits=True)

    def _append(self, event: _Append) -> Iterator[Audio]:
        for piece in sound(event):
            self._appended += len(piece.data) / 2 / RATE
            yield piece

    def _ask(self, commits: bool) -> tuple[FromClient, ...]:
        """`Marked` comes once all that was appended is heard; the segment that Flush ends, just before it."""
        self._committed = self._appended
        self._asked.append(_Asked(commits, self._appended))
        return Flush(), Mark("commit" if commits else "clear")

    def _update(self, session: _Session) -> None:
        given = session.audio.input
        if session.type != "transcription":
            raise Fault("invalid_value", "the type is transcription", "session.type")
        if session.include:
            raise Fault("unsupported_value", "there are no probabilities", "session.include")
        form = given.format
        if form and (form.type not in (None, "audio/pcm") or form.rate not in (None, RATE)):
            text = "the format is audio/pcm with 24000 samples a second"
            raise Fault("unsupported_value", text, "session.audio.input.format")
        self.no_noise_reduction(given.noise_reduction)
        if isinstance(given.transcription, _Transcribed):
            self._check(given.transcription)
        if (
            isinstance(given.turn_detection, _Detection)
            and given.turn_detection.type != "server_vad"
        ):
            param = "session.audio.input.turn_detection.type"
            raise Fault("unsupported_value", "turn detection is server_vad, or null", param)
        if not isinstance(given.transcription, UnsetType):
            self._transcribed = given.transcription
        if not isinstance(given.turn_detection, UnsetType):
            self._detects = given.turn_detection is not None

    def _check(self, asked: _Transcribed) -> None:
        where = "session.audio.input.transcription"
        for name in ("prompt", "keywords"):
            if getattr(asked, name):
                raise Fault("unsupported_value", "words cannot be hinted at", f"{where}.{name}")
        source = self.offer.source
        for language in (*filter(None, (asked.language,)), *(asked.languages or ())):
            if language.split("-")[0].lower() != source:
                text = f"this server hears {source}"
                raise Fault("unsupported_language", text, f"{where}.language")

    # out

    def told(self, event: FromServer) -> Iterator[bytes]:
        if self._pause is not None and not isinstance(event, Marked):
            yield from self._paused(self._pause)
        if isinstance(event, Source):
            yield from self._word(event)
        elif isinstance(event, Segment):
            if event.end is None and self._detects:
                return  # it was cut while somebody spoke
            end = self._item.last if event.end is None else event.end
            if self._asked:
                self._pause = end
            else:
                yield from self._paused(end)
        elif isinstance(event, Marked):
            yield from self._answer(self._asked.popleft())

    @property
    def _silent(self) -> bool:
        """Is nothing told of what is heard now?"""
        cleared = bool(self._asked) and not self._asked[0].commits
        return cleared or self._transcribed is None

    def _word(self, word: Source) -> Iterator[bytes]:
        if self._silent:
            return
        item, first = self._item, not self._item.words
        item.words.append(word.text)
        item.last = word.at if word.end is None else word.end
        if first and self._detects:
            begin = round(word.at if word.begin is None else word.begin)
            started = "input_audio_buffer.speech_started"
            yield self.event(started, item_id=item.id, audio_start_ms=begin)
        kind = "conversation.item.input_audio_transcription.delta"
        yield self.event(kind, item_id=item.id, content_index=0, delta=spaced(word.text, first))

    def _paused(self, end: float) -> Iterator[bytes]:
        """The speaker made a pause at `end` ms, which ends an item unless the client wants to do that."""
        self._pause = None
        words = len(self._item.words)
        if words and not self._silent and (self._detects or words >= MOST_WORDS):
            yield from self._end_item(end / 1000)

    def _answer(self, asked: _Asked) -> Iterator[bytes]:
        """All that was appended before a commit or clear is heard."""
        self._pause = None
        if asked.commits:
            yield from self._end_item(asked.end)
        else:
            self._item, self._ended = self._new_item(), asked.end

    def _end_item(self, end: float) -> Iterator[bytes]:
        """At `end` s of the sound of the session."""
        item, self._item = self._item, self._new_item()
        seconds, self._ended = max(end - self._ended, 0.0), end
        if self._detects and item.words:
            stopped = "input_audio_buffer.speech_stopped"
            yield self.event(stopped, item_id=item.id, audio_end_ms=round(end * 1000))
        yield self.event(
            "input_audio_buffer.committed", item_id=item.id, previous_item_id=self._previous
        )
        self._previous = item.id
        if self._transcribed is None:
            return
        yield self.event(
            "conversation.item.input_audio_transcription.completed",
            item_id=item.id,
            content_index=0,
            transcript=" ".join(item.words),
            usage={"type": "duration", "seconds": round(seconds, 3)},
        )

    def described(self) -> dict[str, Any]:
        return {
            "id": f"sess_{self.session}",
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": self.expires_at,
            "include": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": RATE},
                    "noise_reduction": None,
                    "transcription": self._transcribed,
                    "turn_detection": DETECTION if self._detects else None,
                }
            },
        }
