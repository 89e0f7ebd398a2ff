"""What a session sent and received, as far as it may be needed again.

When a connection breaks, the server says how many messages it took and sends the events that were missed. When the
server itself is gone, a new session gets the source of the open segment once more, with the words that are committed
already as its prefix, and what it repeats is dropped here. So a reader sees every event once.
This file knows messages and where in the source they end. It does not know sockets, nor when to come back, nor whether
the source is text or sound: `SourceText` and `SourceAudio` do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from msgspec.structs import replace

from streamtrans.messages import (
    Audio,
    Changed,
    Command,
    Done,
    Draft,
    End,
    Error,
    Event,
    Mark,
    Marked,
    Segment,
    SetPolicy,
    Source,
    Target,
    Text,
)
from streamtrans_clients.errors import SessionFailed
from streamtrans_clients.source_audio import SourceAudio
from streamtrans_clients.source_text import SourceText

OWN = "heard-"  # marks of this file begin so; the reader does not see their answers


@dataclass(slots=True)
class Sent:
    """A message and where the source stands after it, in characters or bytes from the opening of the session."""

    message: Command
    end: int
    answered: bool = False  # Mark and SetPolicy: the reader has seen the answer
    taken: bool = False  # Mark and SetPolicy: answered by this session on the server


class Record:
    """`sent` and `received` are called in order; `policy` and `prefix` are what a new session starts with.

    rate: of the audio, None for text.
    """

    def __init__(self, policy: str | None, rate: int | None = None) -> None:
        self._out: SourceText | SourceAudio = SourceText() if rate is None else SourceAudio(rate)
        self.policy = policy  # at the beginning of the open segment
        self.server_seq = 0  # last event of the session on the server
        self._seq = 0  # last event handed on
        self._again = False  # what comes was handed on before, and drafts are of that
        self._log: deque[Sent] = deque()
        self._dropped = 0  # messages of the session on the server that are no longer in the log
        self._words: list[str] = []  # committed in the open segment
        self._source = self._target = 0  # words handed on
        self._first_source = self._first_target = 0  # words in closed segments
        self._base_source = self._base_target = 0  # words before the session on the server began
        self._clock = 0.0  # ms before the session on the server began
        self._marks: deque[Sent] = deque()  # not yet answered by this session on the server
        self._changes: deque[Sent] = deque()

    @property
    def prefix(self) -> tuple[str, ...]:
        """Committed words of the open segment."""
        return tuple(self._words)

    # --- out --------------------------------------------------------------------------------------

    def sent(self, message: Command) -> None:
        """The next message of the session."""
        self._add(message)
        if isinstance(message, Audio) and isinstance(self._out, SourceAudio):
            if self._out.mark_due():
                self._add(Mark(f"{OWN}{self._log[-1].end}"))
            if self._out.give_up():  # the open segment cannot be heard again as a whole
                self._first_source, self._first_target = self._source, self._target
                self._words.clear()
                self._forget()

    def _add(self, message: Command) -> None:
        entry = Sent(message, self._out.sent(message))
        self._log.append(entry)
        self._await(entry)

    def number(self, number: int) -> Command | None:
        """Message `number`, counted from 1 for the session on the server; None when it is not yet there.

        Raises SessionFailed when it is no longer needed and yet asked for.
        """
        place = number - self._dropped - 1
        if place < 0:
            raise SessionFailed("bad_server", f"message {number} is translated and asked for again")
        return self._log[place].message if place < len(self._log) else None

    def restart(self, clock: float) -> None:
        """From here on a new session on a server gets what is left. clock: ms since the first one opened."""
        left: deque[Sent] = deque()
        for entry in self._log:
            if isinstance(entry.message, Mark) and entry.answered:
                continue
            left.append(Sent(self._out.left(entry.message, entry.end), entry.end, entry.answered))
        self._log, self._dropped = left, 0
        self._out.restart()
        self._marks.clear()
        self._changes.clear()
        for entry in left:
            self._await(entry)
        self.server_seq, self._clock = 0, clock
        self._again = self._source > self._first_source or self._target > self._first_target
        self._base_source, self._base_target = self._first_source, self._first_target

    def _await(self, entry: Sent) -> None:
        if isinstance(entry.message, Mark):
            self._marks.append(entry)
        elif isinstance(entry.message, SetPolicy):
            self._changes.append(entry)

    # --- in ---------------------------------------------------------------------------------------

    def received(self, event: Event) -> Event | None:
        """The event with the numbers of the whole session, or None when the reader has it already.

        Raises SessionFailed when an event is missing or takes a committed word back.
        """
        if isinstance(event, Draft):
            return None if self._again else event
        assert not isinstance(event, Error)
        if event.seq <= self.server_seq:
            return None
        if event.seq > self.server_seq + 1:
            raise SessionFailed("bad_server", f"event {self.server_seq + 1} is missing")
        self.server_seq = event.seq
        fresh = self._place(event)
        if fresh is None:
            return None
        self._again = False
        self._seq += 1
        return replace(fresh, seq=self._seq)

    def _place(self, event: Event) -> Event | None:
        if isinstance(event, Source):
            return self._read(event)
        if isinstance(event, Target):
            return self._committed(event)
        if isinstance(event, Marked):
            return self._marked(event)
        if isinstance(event, Changed):
            event = replace(event, index=event.index + self._base_source)
            return event if event.lag else self._answer(self._changes, event)
        if isinstance(event, (Segment, Done)):
            event = replace(
                event,
                source_words=event.source_words + self._base_source,
                target_words=event.target_words + self._base_target,
            )
            if isinstance(event, Segment):
                event = self._out.close(event)
                self._close(event)
        return event

    def _read(self, event: Source) -> Source | None:
        fresh = self._out.read(event)
        if fresh is None:
            return None
        self._base_source = self._source - event.index
        self._source += 1
        return replace(fresh, index=self._source - 1)

    def _committed(self, event: Target) -> Target | None:
        index = event.index + self._base_target
        if index < self._target:
            if event.text != self._words[index - self._first_target]:
                raise SessionFailed("contradiction", f"committed word {index} came back as another")
            return None
        self._target += 1
        self._words.append(event.text)
        emitted = None if event.emitted is None else event.emitted + self._clock
        event = replace(event, index=index, read=event.read + self._base_source, emitted=emitted)
        return self._out.placed(event)

    def _marked(self, event: Marked) -> Event | None:
        mark = self._marks[0] if self._marks else None
        fresh = self._answer(self._marks, event)
        if mark is None or not _own(mark.message):
            return fresh
        if self._source == self._first_source and isinstance(self._out, SourceAudio):
            self._out.silent(mark.end)
            self._forget()
        return None

    def _answer(self, waiting: deque[Sent], event: Event) -> Event | None:
        if not waiting:
            return event
        entry = waiting.popleft()
        seen, entry.answered, entry.taken = entry.answered, True, True
        return None if seen else event

    def _close(self, segment: Segment) -> None:
        """What the closed segment has used up is not needed again."""
        self._first_source, self._first_target = segment.source_words, segment.target_words
        self._words.clear()
        self._forget()

    def _forget(self) -> None:
        """Drop what is used up, to the last message that the server surely took: what follows may be on its way."""
        count = 0
        for number, entry in enumerate(takewhile(self._used_up, self._log), 1):
            if _taken(entry):
                count = number
        for _ in range(count):
            entry = self._log.popleft()
            self._dropped += 1
            if isinstance(entry.message, SetPolicy):
                self.policy = entry.message.policy

    def _used_up(self, entry: Sent) -> bool:
        if not self._out.used_up(entry.message, entry.end):
            return False
        if isinstance(entry.message, (Mark, SetPolicy)):
            return entry.answered
        return not isinstance(entry.message, End)


def _taken(used: Sent) -> bool:
    """Does a used-up message prove that the server took it? A flush or white space proves nothing."""
    message = used.message
    if isinstance(message, Text):
        return bool(message.text.strip())
    if isinstance(message, Audio):
        return bool(message.data)
    return used.taken


def _own(message: Command) -> bool:
    return isinstance(message, Mark) and message.id.startswith(OWN)
