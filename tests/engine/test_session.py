"""Whatever is fed to a session comes out in order, and harms no other."""

from __future__ import annotations

import fakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import alone, target_words

from streamtrans.engine import SessionError
from streamtrans.messages import (
    Audio,
    Command,
    Done,
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


@pytest.mark.parametrize("text", ["\ufdfa" * 8, "\ufdfa" * 9, "\u337f" * 9 + "!"])
def test_signs_that_are_spelt_out_fail_nobody(text: str) -> None:
    """U+FDFA stands for 18 letters: eight of them were one READ of 265 pieces, more than a step takes, and everybody in
    the batch was ended with them.
    """
    engine = fakes.engine()
    other, odd = engine.open("wait-1"), engine.open("wait-1")
    sentence = "the old house sees a boat."
    for session, said in ((other, sentence), (odd, text)):
        engine.feed(session, Text(said))
        engine.feed(session, End())
    events = fakes.run(engine)
    assert events[other] == alone(sentence, "wait-1")
    assert isinstance(events[odd][-1], Done)
    assert "".join(e.text for e in events[odd] if isinstance(e, Source)) == text


def test_text_that_is_no_unicode_is_named_and_changes_nothing() -> None:
    """A lone surrogate, as a file name or a careless slice of UTF-16 has them, raised in the tokenizer, half-way."""
    engine = fakes.engine()
    session = engine.open("wait-1")
    with pytest.raises(SessionError) as error:
        engine.feed(session, Text("the old \ud800 house", 100.0))
    assert error.value.code == "bad_text"
    assert fakes.speak(engine, session, Text("a boat.", 0.0), End()) == fakes.speak(
        engine, engine.open("wait-1"), Text("a boat.", 0.0), End()
    )


def test_audio_in_a_session_of_text_is_named_and_changes_nothing() -> None:
    engine = fakes.engine()
    session = engine.open("wait-1")
    with pytest.raises(SessionError, match="bad_kind"):
        engine.feed(session, Audio(bytes(3200)))
    engine.feed(session, Text("the house."))
    engine.feed(session, End())
    assert isinstance(fakes.run(engine)[session][-1], Done)


def test_a_wait_longer_than_any_segment_ends_with_the_segment() -> None:
    """Under wait-100 the bound of a segment forces the writing, with its last word and not with the one after it."""
    engine = fakes.engine(words=24)
    session = engine.open("wait-100")
    words = [word for word in fakes.WORDS if "." not in word][:24]
    assert not target_words(fakes.speak(engine, session, Text(" ".join(words[:23]) + " ")))
    events = fakes.speak(engine, session, Text(words[23] + " "))
    assert target_words(events) and isinstance(events[-1], Segment)
    assert {read for _, read in target_words(events)} == {24}


ANYTHING = st.one_of(
    st.text(max_size=40).map(Text),
    st.text(st.sampled_from("ab.,! \n\t\u00a0\u200b\ufdfa\u3000"), max_size=60).map(Text),
    st.sampled_from(["wait-1", "wait-2:0.5", "wait-9999", "full"]).map(SetPolicy),
    st.just(Flush()),
    st.text(max_size=5).map(Mark),
)


def seen(text: str) -> str:
    """Without white space and the signs that are not there for a model."""
    return "".join(sign for sign in "".join(text.split()) if fakes.vocabulary().encode(sign))


@settings(max_examples=20, deadline=None)
@given(st.lists(ANYTHING, max_size=8), st.booleans())
def test_whatever_comes_in_comes_out_in_order(commands: list[Command], at_once: bool) -> None:
    """Any text and any commands, obeyed one by one or in one go: no word lost, no event missing, no error."""
    engine = fakes.engine(max_sessions=1)
    session = engine.open("wait-3")
    events: list[Event] = []
    for command in [*commands, End()]:
        engine.feed(session, command)
        if not at_once:
            events += fakes.run(engine).get(session, [])
    events += fakes.run(engine).get(session, [])
    assert [e.seq for e in events if not isinstance(e, Error)] == list(range(1, len(events) + 1))
    said = "".join(c.text for c in commands if isinstance(c, Text))
    assert seen("".join(e.text for e in events if isinstance(e, Source))) == seen(said)
    for kind in (Source, Target):
        indices = [e.index for e in events if isinstance(e, kind)]
        assert indices == list(range(len(indices)))
    words = [e for e in events if isinstance(e, Target)]
    assert all(
        w.text.replace("\u202f", "x").split() == [w.text.replace("\u202f", "x")] for w in words
    )
    asked = [c.id for c in commands if isinstance(c, Mark)]
    assert [e.id for e in events if isinstance(e, Marked)] == asked
    assert isinstance(events[-1], Done) and events[-1].target_words == len(words)
    assert engine.sessions == 0 and not engine.ready
