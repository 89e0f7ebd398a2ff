"""What was fed to a session and not yet READ: words, ends of segments, commands between them, in order.

It knows how text becomes words and takes those that were heard. It does not know policies, targets or events.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from streamtrans.engine.listener import Listener, Pause, Spoken
from streamtrans.engine.source_word import (
    SegmentEnd,
    SessionError,
    Unit,
    Word,
    check_text,
    fitting,
)
from streamtrans.messages import Audio, Command, End, Flush, Mark, SetPolicy, Text
from streamtrans.models import piece_states
from streamtrans.text.heard import as_printed
from streamtrans.text.source import Segmenter, Words
from streamtrans.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Limits:
    """What one segment may hold: source words, source pieces with the end, and target pieces per source piece."""

    words: int
    pieces: int
    ratio: float = 1.5
    spare: int = 8


Waiting = Word | SegmentEnd | Mark | SetPolicy | End


class SourceQueue:
    """listener: what hears the words of a session of audio; one of text has None."""

    def __init__(
        self, vocabulary: Vocabulary, limits: Limits, listener: Listener | None = None
    ) -> None:
        self.listener = listener
        self._vocabulary = vocabulary
        self._waiting: deque[Waiting] = deque()
        direct = listener is not None and listener.states
        self._end: Unit = piece_states.end(direct) if direct else [vocabulary.eos]
        self._words = Words()
        self._segmenter = Segmenter(limits.words, limits.pieces - 1)
        self._clock = 0.0
        self._unread = 0

    def feed(self, command: Command) -> None:
        """Take source or a command. Raises SessionError (bad_kind, bad_text, bad_clock); nothing is changed then."""
        if self.listener is not None:
            if isinstance(command, Text):
                raise SessionError("bad_kind", "this session takes audio, not text")
            self.listener.feed(command)
        elif isinstance(command, Audio):
            raise SessionError("bad_kind", "this session takes text, not audio")
        else:
            self._take(command)

    def hear(self) -> None:
        """Take what the listener has heard."""
        if self.listener is None:
            return
        for item in self.listener.take_heard():
            if isinstance(item, Spoken):
                begins = not self._segmenter.open_words
                text = as_printed(item.text, self.listener.language, begins)
                self._add_word(text, item.at, item)
            elif isinstance(item, Pause):
                self._end_segment(item.at, item.end)
            else:
                self._take(item)

    @property
    def can_hear(self) -> bool:
        """Is there sound to hear?"""
        return self.listener is not None and self.listener.ready

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def first(self) -> Waiting:
        """What comes next."""
        return self._waiting[0]

    def take(self) -> Waiting:
        """Take it out."""
        item = self._waiting.popleft()
        if isinstance(item, Word):
            self._unread -= 1
        return item

    @property
    def clock(self) -> float:
        """The source clock in ms: of audio, how much was fed."""
        return self._clock if self.listener is None else self.listener.clock

    @property
    def unread(self) -> int:
        """Source words not yet READ."""
        return self._unread

    @property
    def backlog(self) -> int:
        """Source words fed and not yet READ, and chunks of audio not yet heard."""
        return self._unread + (0 if self.listener is None else self.listener.steps)

    @property
    def waiting_ms(self) -> float:
        """ms of audio fed and not yet heard; 0 for text."""
        return 0.0 if self.listener is None else self.listener.waiting_ms

    def _take(self, command: Command) -> None:
        if isinstance(command, Text):
            check_text(command.text)
            self._advance_clock(command.at)
            self._add_words(self._words.feed(command.text))
        elif isinstance(command, (Flush, End)):
            self._add_words(self._words.flush())
            self._end_segment()
        if isinstance(command, (Mark, SetPolicy, End)):
            self._waiting.append(command)

    def _advance_clock(self, at: float | None) -> None:
        if at is None:
            return
        if not math.isfinite(at) or at < self._clock:
            raise SessionError("bad_clock", "`at` must be finite and never go back")
        self._clock = at

    def _add_words(self, words: list[str | None]) -> None:
        for word in words:
            if word is None:
                self._end_segment()
            else:
                self._add_word(word, self._clock)

    def _add_word(self, text: str, at: float, heard: Spoken | None = None) -> None:
        begin, end = (heard.begin, heard.end) if heard else (None, None)
        for part, unit in self._units(text, heard):
            if not len(unit):
                continue
            if not self._segmenter.fits(len(unit)):
                self._end_segment()
            self._waiting.append(Word(part, unit, at, begin, end))
            self._unread += 1
            if self._segmenter.add(part, len(unit)):
                self._end_segment()

    def _units(self, text: str, heard: Spoken | None) -> Sequence[tuple[str, Unit]]:
        """What the model is to READ of a word, in parts if it is long."""
        if heard is not None and heard.states is not None:
            return [(text, heard.states)]
        return fitting(text, self._vocabulary)

    def _end_segment(self, at: float | None = None, end: float | None = None) -> None:
        if self._segmenter.open_words:
            self._segmenter.close()
            self._waiting.append(SegmentEnd(at, self._end, end))
