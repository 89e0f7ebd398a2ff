"""An engine that upper-cases: the API of `streamtrans.engine.Engine` without a model.

It reads and writes under wait-k, closes a segment with a word that ends in a full stop, and can be
told to fail. It hears, too: see `fake_speech`. It knows no threads and no clock, like the engine it stands for.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fake_speech import STEP_MS, FakeEar, Heard

from streamtrans.audio.errors import AudioError
from streamtrans.audio.segments import Segmentation
from streamtrans.engine import EngineFull, SessionError
from streamtrans.messages import (
    Audio,
    Changed,
    Command,
    Done,
    Draft,
    End,
    Error,
    Event,
    Flush,
    Mark,
    Marked,
    Segment,
    SetPolicy,
    Source,
    Target,
    Text,
)
from streamtrans.policy import PolicyError

LONGEST_WORD = 64
BOOM = "boom"  # a source word that makes its batch fail
CRASH = "crash"  # a source word that makes the whole engine fail


@dataclass(frozen=True)
class FakeModel:
    name: str = "en-fr"
    source: str = "en"
    target: str = "fr"
    kind: str = "text"
    decides: bool = False


def wait_k(policy: str) -> int:
    if not (match := re.fullmatch(r"wait-([1-9]\d*)", policy)):
        raise PolicyError(f"policy {policy!r} is not wait-k")
    return int(match[1])


Item = tuple[str, float] | Heard | bytes | Flush | Mark | SetPolicy | End


class FakeSession:
    """Words in, capital words out."""

    def __init__(self, policy: str, prefix: Sequence[str] = (), rate: int | None = None) -> None:
        self.rate = rate
        self.pause: int | None = None  # ms, as asked for; the ear goes by marks in its sound
        self.ear = FakeEar(rate) if rate else None
        self.sound = b""  # not yet a whole step
        self.ends: float | None = None  # ms, where the segment that is flushed ends
        self.prefix = deque(prefix)
        self.k = wait_k(policy)
        self.policy = policy
        self.paused = False
        self.closed = False
        self.queue: deque[Item] = deque()
        self.half = ""
        self.pending: deque[tuple[str, float]] = deque()  # READ and not yet written
        self.flushing = False
        self.unasked: list[Event] = []  # events that no step caused
        self.seq = self.read = self.written = 0
        self.at = 0.0
        self.open_words = 0

    @property
    def unread(self) -> int:
        return sum(isinstance(item, (tuple, Heard)) for item in self.queue)

    @property
    def backlog(self) -> int:
        return self.unread + sum(isinstance(item, bytes) for item in self.queue)

    @property
    def clock(self) -> float:
        """Ms of sound that was fed."""
        return self.waiting_ms + self.ear.clock if self.ear else self.at

    @property
    def waiting_ms(self) -> float:
        waiting = len(self.sound) + sum(len(item) for item in self.queue if isinstance(item, bytes))
        return waiting * 500 / self.rate if self.rate else 0.0

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def feed(self, command: Command) -> None:
        if self.closed or any(isinstance(item, End) for item in self.queue):
            raise SessionError("bad_order", "the session has ended")
        if isinstance(command, Audio):
            if self.rate is None:
                raise SessionError("bad_kind", "this session takes text")
            self.sound += command.data
            step = self.rate * STEP_MS // 1000 * 2
            while len(self.sound) >= step:
                self.queue.append(self.sound[:step])
                self.sound = self.sound[step:]
            return
        if isinstance(command, Text):
            assert command.at is not None
            pieces = re.split(r"\s", self.half + command.text)
            self.half = pieces.pop()
            if any(len(piece) > LONGEST_WORD for piece in (*pieces, self.half)):
                raise SessionError("bad_text", f"a word holds at most {LONGEST_WORD} characters")
            self.queue.extend((piece, command.at) for piece in pieces if piece)
            self.at = command.at
            return
        if isinstance(command, SetPolicy):
            wait_k(command.policy)
        if isinstance(command, (Flush, End)) and self.half:
            self.queue.append((self.half, self.at))
            self.half = ""
        if self.sound:
            self.queue.append(self.sound)
            self.sound = b""
        self.queue.append(command)

    @property
    def ready(self) -> bool:
        return (
            not self.paused
            and not self.closed
            and bool(self.unasked or self.queue or self.must_write or self.flushing)
        )

    @property
    def heard(self) -> tuple[str, ...]:
        return tuple(self.ear.half) if self.ear else ()

    @property
    def must_write(self) -> bool:
        return bool(self.pending) and (self.flushing or len(self.pending) >= self.k)

    def step(self) -> list[Event]:
        """One WRITE if the policy wants it, else one READ or one command."""
        if self.unasked:
            unasked, self.unasked = self.unasked, []
            return unasked
        if self.must_write:
            return self.write()
        if self.flushing:
            self.flushing = False
            self.open_words = 0
            return [Segment(self.next_seq(), self.read, self.written, self.ends)]
        item = self.queue.popleft()
        if isinstance(item, bytes):
            assert self.ear is not None
            self.queue.extendleft(reversed(self.ear.hear(item)))
            return []
        if isinstance(item, tuple):
            return self.read_word(*item)
        if isinstance(item, Heard):
            return self.read_heard(item)
        if isinstance(item, Mark):
            return [Marked(self.next_seq(), item.id)]
        if isinstance(item, SetPolicy):
            self.k = wait_k(item.policy)
            return [Changed(self.next_seq(), item.policy, self.read)]
        if self.ear and (heard := self.ear.flush()):
            self.queue.extendleft(reversed([*heard, item]))
            return []
        if self.open_words:
            self.flushing = True
            self.ends = self.ear.clock if self.ear else None
            self.queue.appendleft(item)
            return []
        if isinstance(item, Flush):
            return []
        self.closed = True
        return [Done(self.next_seq(), self.read, self.written)]

    def read_word(self, word: str, at: float) -> list[Event]:
        self.pending.append((word, at))
        self.last_read = at
        self.read += 1
        self.open_words += 1
        self.flushing = word.endswith(".")
        return [Source(self.next_seq(), word, self.read - 1, at)]

    def read_heard(self, heard: Heard) -> list[Event]:
        assert self.ear is not None
        if not heard.text:
            self.flushing, self.ends = bool(self.open_words), heard.end
            return []
        (event,) = self.read_word(heard.text, self.ear.clock)
        assert isinstance(event, Source)
        return [Source(event.seq, event.text, event.index, event.at, heard.begin, heard.end)]

    def write(self) -> list[Event]:
        word, _ = self.pending.popleft()
        self.written += 1
        text = self.prefix.popleft() if self.prefix else word.upper()
        event = Target(self.next_seq(), text, self.written - 1, self.read, self.last_read)
        return [event]


class FakeDrafts:
    """A draft is what was READ and not written, in capitals with a question mark; it takes one step."""

    def __init__(self) -> None:
        self.asked: dict[FakeSession, int] = {}
        self.steps = 0

    @property
    def going(self) -> bool:
        return bool(self.asked)

    def ask(self, session: FakeSession) -> None:
        self.asked[session] = session.seq

    def step(self) -> list[tuple[FakeSession, Draft]]:
        self.steps += 1
        asked, self.asked = self.asked, {}
        return [
            (
                session,
                Draft(session.heard, tuple(f"{word.upper()}?" for word, _ in session.pending)),
            )
            for session, seq in asked.items()
            if not session.closed and session.seq == seq
        ]


class FakeEngine:
    """All ready sessions take one step in each tick, up to `batch` of them."""

    def __init__(
        self,
        max_sessions: int = 64,
        batch: int = 64,
        kinds: tuple[str, ...] = ("text", "audio"),
    ) -> None:
        self.model = FakeModel()
        self.kinds, self.hears = kinds, "audio" in kinds
        self.default_policy = "wait-3"
        self.max_sessions = max_sessions
        self.batch = batch
        self.sessions: list[FakeSession] = []
        self.drafts = FakeDrafts()
        self.most_queued = self.last_batch = 0
        self.last_action = (
            None  # the server asks after every tick that wrote nothing what was heard
        )

    def open(
        self,
        policy: str | None = None,
        prefix: Sequence[str] = (),
        rate: int | None = None,
        pause: int | None = None,
    ) -> FakeSession:
        try:
            if rate is None and pause is not None:
                raise AudioError("bad_pause", "text")
            Segmentation.asked(pause)
        except AudioError as error:
            raise SessionError(error.code, error.text) from error
        if len(self.sessions) >= self.max_sessions:
            raise EngineFull(f"all {self.max_sessions} sessions are taken")
        session = FakeSession(policy or self.default_policy, prefix, rate)
        session.pause = pause
        self.sessions.append(session)
        return session

    def feed(self, session: FakeSession, command: Command) -> None:
        session.feed(command)
        self.most_queued = max(self.most_queued, len(session.queue))

    def warm_hearing(self, count: int) -> None:
        """There is nothing to warm."""

    def pause(self, session: FakeSession, paused: bool) -> None:
        session.paused = paused

    def adopt(self, session: FakeSession, policy: str) -> None:
        session.k = wait_k(policy)
        session.unasked.append(Changed(session.next_seq(), policy, session.read, lag=True))

    def close(self, session: FakeSession) -> None:
        session.closed = True
        if session in self.sessions:
            self.sessions.remove(session)

    @property
    def ready(self) -> bool:
        return any(session.ready for session in self.sessions)

    @property
    def pressing(self) -> bool:
        return self.ready

    to_hear = 0

    def tick(self, hear: bool = True) -> list[tuple[FakeSession, Event]]:
        batch = [session for session in self.sessions if session.ready][: self.batch]
        self.last_batch = len(batch)
        events: list[tuple[FakeSession, Event]] = []
        for session in batch:
            self.sessions.remove(session)
            events += ((session, event) for event in self.step(session))
            if not session.closed:
                self.sessions.append(session)  # the others come first next time
        return events

    def step(self, session: FakeSession) -> list[Event]:
        head = session.queue[0] if session.queue else None
        if isinstance(head, tuple) and head[0] == CRASH:
            raise RuntimeError("the whole engine fails")
        if isinstance(head, tuple) and head[0] == BOOM:
            session.closed = True
            return [Error("internal", "the batch failed")]
        return session.step()


class GatedEngine(FakeEngine):
    """Has always something to do and does it only while the gate is open; what no step caused it tells at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = True

    def tick(self, hear: bool = True) -> list[tuple[FakeSession, Event]]:
        if self.gate:
            return super().tick(hear)
        told: list[tuple[FakeSession, Event]] = []
        for session in self.sessions:
            told += ((session, event) for event in session.unasked)
            session.unasked.clear()
        return told
