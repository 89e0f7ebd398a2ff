"""What is kept of a session is enough to go on, and not more; what comes twice is seen once."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from streamtrans_clients import SessionFailed
from streamtrans_clients.record import OWN, Record
from streamtrans_clients.source_audio import LONGEST

from streamtrans.messages import (
    Audio,
    Changed,
    Command,
    Done,
    End,
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

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from fake_engine import FakeSession
from fake_speech import speech

RATE = 8000


class Server:
    """Capitals at wait-1 whatever the policy, a segment at a full stop or flush, the prefix of a lost session first."""

    def __init__(self, prefix: tuple[str, ...] = (), policy: str | None = "wait-1") -> None:
        self.prefix = list(prefix)
        self.seq = self.words = self.open = self.taken = 0
        self.half = ""

    def take(self, message: Command) -> list[Event]:
        self.taken += 1
        if isinstance(message, Text):
            *words, self.half = (self.half + message.text).split(" ")
            return [event for word in words if word for event in self.word(word)]
        if isinstance(message, Mark):
            return [Marked(self.next(), message.id)]
        if isinstance(message, SetPolicy):
            return [Changed(self.next(), message.policy, self.words)]
        events = self.word(self.half) if self.half else []
        self.half = ""
        if self.open:
            events.append(self.close())
        if isinstance(message, End):
            events.append(Done(self.next(), self.words, self.words))
        return events

    def word(self, word: str) -> list[Event]:
        index, self.words, self.open = self.words, self.words + 1, self.open + 1
        text = self.prefix.pop(0) if self.prefix else word.upper()
        events: list[Event] = [
            Source(self.next(), word, index, 0.0),
            Target(self.next(), text, index, index + 1, 0.0, 5.0),
        ]
        return [*events, self.close()] if word.endswith(".") else events

    def close(self) -> Segment:
        self.open = 0
        return Segment(self.next(), self.words, self.words)

    def next(self) -> int:
        self.seq += 1
        return self.seq


class Ear:
    """The fake engine's session, which hears and takes every step at once."""

    def __init__(self, prefix: tuple[str, ...] = (), policy: str | None = "wait-1") -> None:
        self.session = FakeSession(policy or "wait-1", prefix, RATE)
        self.taken = 0

    def take(self, message: Command) -> list[Event]:
        self.taken += 1
        self.session.feed(message)
        events: list[Event] = []
        while self.session.ready:
            events += self.session.step()
        return events


ORDERS = st.one_of(
    st.just(Flush()),
    st.sampled_from("xyz").map(Mark),
    st.integers(1, 5).map(lambda k: SetPolicy(f"wait-{k}")),
)
COMMANDS = st.one_of(
    st.text(alphabet="ab. ", min_size=1, max_size=8).map(lambda text: Text(text, 0.0)), ORDERS
)


def undisturbed(commands: list[Command], server: Server | Ear) -> list[Event]:
    return [event for command in commands for event in server.take(command)]


def seen(events: list[Event]) -> list[object]:
    """All a reader can tell, with the clock of the server left out."""
    return [
        Target(e.seq, e.text, e.index, e.read, e.at) if isinstance(e, Target) else e for e in events
    ]


def disturbed(
    commands: list[Command], chance: random.Random, kind: type[Server] | type[Ear] = Server
) -> list[Event]:
    """The same through a line that breaks anywhere and a server that dies anywhere."""
    record, server = Record("wait-1", RATE if kind is Ear else None), kind()
    got: list[Event] = []
    line: list[Event] = []  # sent by the server; all of it is kept there
    handed = 0
    for command in commands:
        record.sent(command)
        while (message := record.number(handed + 1)) is not None or record.server_seq < len(line):
            fate = chance.random()
            if fate < 0.1:  # the line breaks: what was on the way is lost, in both directions
                handed = server.taken
            elif fate < 0.15:  # the server dies
                server, line, handed = kind(record.prefix, record.policy), [], 0
                record.restart(100.0)
            elif fate < 0.6 and message is not None:
                handed += 1
                if chance.random() < 0.9:
                    line += server.take(message)
                else:
                    handed = server.taken
            elif record.server_seq < len(line):
                event = record.received(line[record.server_seq])
                got += [event] if event is not None else []
    return got


@settings(max_examples=200, deadline=None)
@given(st.lists(COMMANDS, max_size=25), st.integers(0, 2**32))
def test_a_reader_sees_what_it_would_have_seen(commands: list[Command], seed: int) -> None:
    whole = [*commands, End()]
    assert seen(disturbed(whole, random.Random(seed))) == seen(undisturbed(whole, Server()))


TALK = st.lists(
    st.sampled_from(["one", "two", "three.", "four", "five.", "-"]), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@example([Mark("z"), SetPolicy("wait-2"), ["one", "-", "one"], ["two"]], 576)
@given(st.lists(st.one_of(TALK, ORDERS), max_size=8), st.integers(0, 2**32))
def test_a_listener_hears_every_word_once(parts: list[list[str] | Command], seed: int) -> None:
    """Frames of any size, and a server that dies anywhere hears the open segment again; times are of the session."""
    chance = random.Random(seed)
    commands: list[Command] = []
    for part in parts:
        if not isinstance(part, list):
            commands.append(part)
            continue
        sound = b"".join(bytes(2 * RATE) if word == "-" else speech(word, RATE) for word in part)
        while sound:
            size = chance.choice((33, 333, 1600, 9000))
            commands.append(Audio(sound[:size]))
            sound = sound[size:]
    whole = [*commands, End()]
    assert heard(disturbed(whole, chance, Ear)) == heard(undisturbed(whole, Ear()))


def heard(events: list[Event]) -> list[object]:
    """What must not depend on luck: `at` is how much was heard when a word was READ, and less of it after a death."""
    found: list[object] = []
    for e in events:
        if isinstance(e, Source):
            assert e.begin is not None and e.end is not None
            found.append((e.seq, e.text, e.index, round(e.begin, 1), round(e.end, 1)))
        elif isinstance(e, Target):
            found.append((e.seq, e.text, e.index, e.read))
        elif isinstance(e, Segment):
            found.append((e.seq, e.source_words, e.target_words))
        else:
            found.append(e)
    return found


def test_sound_is_kept_from_the_open_segment_on_and_silence_is_not() -> None:
    record, server = Record(None, RATE), Ear()

    def hear(sound: bytes) -> list[Event]:
        told: list[Event] = []
        handed = server.taken
        record.sent(Audio(sound))
        while (message := record.number(handed + 1)) is not None:
            handed += 1
            for event in server.take(message):
                told += [fresh] if (fresh := record.received(event)) else []
        return told

    for _ in range(20):
        told = hear(speech("one two three. ", RATE))
        assert not any(isinstance(event, Marked) and OWN in event.id for event in told)
    assert kept(record) < 1.5
    for _ in range(300):
        hear(bytes(RATE * 2))
    assert 10 <= kept(record) <= 17
    for _ in range(2000):
        hear(speech("one ", RATE) * 4)
    assert kept(record) <= LONGEST + 1  # a sentence without an end
    assert len(record.prefix) < 5000  # and not of the 8000 words


def kept(record: Record) -> float:
    """Seconds of sound."""
    sound = [sent.message.data for sent in record._log if isinstance(sent.message, Audio)]
    return sum(map(len, sound)) / (2 * RATE)


def test_what_is_kept_is_the_open_segment() -> None:
    record, server = Record(None), Server()
    for _ in range(200):
        for command in (Text("one two. ", 0.0), Mark("m"), SetPolicy("wait-2")):
            record.sent(command)
            for event in server.take(command):
                record.received(event)
    assert len(record._log) <= 4
    assert len(record._out._text) < 20
    assert record.policy == "wait-2"
    assert record.prefix == ()


@pytest.mark.parametrize("lost", [Flush(), Text("  ", 0.0)])
def test_what_the_server_may_not_have_taken_can_be_sent_again(lost: Command) -> None:
    """The line broke before a flush arrived, while the segment of what went before it was on its way."""
    record, server = Record(None), Server()
    first, second = Text("one. ", 0.0), Text("two. ", 0.0)
    record.sent(first)
    record.sent(lost)
    for event in server.take(first):
        record.received(event)
    assert record.number(server.taken + 1) == lost
    record.sent(second)
    for event in [*server.take(lost), *server.take(second)]:
        record.received(event)
    assert not record._log


def test_a_flush_behind_the_last_sample_of_a_segment_can_be_sent_again() -> None:
    record = Record(None, RATE)
    record.sent(Audio(bytes(RATE)))  # 500 ms
    record.sent(Flush())
    record.received(Segment(1, 0, 0, end=500.0))
    assert record.number(2) == Flush()


def test_a_policy_that_a_lost_session_took_can_be_sent_again() -> None:
    record, server = Record("wait-1"), Server()
    change = SetPolicy("wait-2")
    for command in (Text("one ", 0.0), change):
        record.sent(command)
        for event in server.take(command):
            record.received(event)
    record.restart(0.0)
    for event in (Source(1, "one", 0, 0.0), Target(2, "ONE", 0, 1, 0.0), Segment(3, 1, 1)):
        record.received(event)
    assert record.number(2) == change


def test_a_word_taken_back_is_not_accepted() -> None:
    record, server = Record(None), Server()
    record.sent(Text("one two three ", 0.0))
    for event in server.take(Text("one two ", 0.0)):
        record.received(event)
    record.restart(0.0)
    assert record.received(Source(1, "one", 0, 0.0)) is None
    with pytest.raises(SessionFailed, match="contradiction"):
        record.received(Target(2, "UN", 0, 1, 0.0))


def test_a_gap_and_a_word_that_was_never_sent_are_not_accepted() -> None:
    record = Record(None)
    record.sent(Text("one ", 0.0))
    with pytest.raises(SessionFailed, match="event 1 is missing"):
        record.received(Source(2, "one", 0, 0.0))
    with pytest.raises(SessionFailed, match="never sent"):
        record.received(Source(1, "two", 0, 0.0))
