"""The engine's promises: together is alone, nobody starves, a failure stays where it is, memory is bounded."""

from __future__ import annotations

import functools
import random

import fakes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.engine import Engine, EngineFull, Session, SessionError
from streamtrans.messages import (
    Changed,
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
from streamtrans.policy import PolicyError


def target_words(events: list[Event]) -> list[tuple[str, int]]:
    return [(e.text, e.read) for e in events if isinstance(e, Target)]


@functools.cache
def alone(text: str, policy: str = "wait-2") -> list[Event]:
    engine = fakes.engine()
    return fakes.speak(engine, engine.open(policy), Text(text), End())


def test_a_session_ends_with_done_and_frees_its_slot() -> None:
    engine = fakes.engine(max_sessions=1)
    session = engine.open("wait-1")
    with pytest.raises(EngineFull):
        engine.open()
    events = fakes.speak(engine, session, Text("the old house. "), End())
    sources = [e.text for e in events if isinstance(e, Source)]
    assert sources == ["the", "old", "house."]
    assert isinstance(events[-1], Done) and events[-1].source_words == 3
    assert [e.seq for e in events if not isinstance(e, Error)] == list(range(1, len(events) + 1))
    assert engine.sessions == 0
    engine.open()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 6))
def test_together_gives_the_very_tokens_that_alone_gives(seed: int, batch: int) -> None:
    """Sessions of unlike length, policy and pace in ragged batches, fed in random order and pieces."""
    rng = random.Random(seed)
    texts = [" ".join(fakes.sentences(rng.randint(1, 2), seed % 20 + i, 7)) for i in range(6)]
    policies = [rng.choice(["wait-1", "wait-2", "wait-5:0.2", "full"]) for _ in texts]
    events = together(fakes.engine(max_batch=batch), texts, policies, rng)
    for heard, text, policy in zip(events, texts, policies, strict=True):
        assert heard == alone(text, policy)


def together(
    engine: Engine, texts: list[str], policies: list[str], rng: random.Random
) -> list[list[Event]]:
    """Sessions that begin at any time, each fed piece by piece between ticks; what each says."""
    events: dict[Session, list[Event]] = {}
    sessions: dict[Session, list[str]] = {}
    late = list(zip(texts, policies, strict=True))
    while late or any(sessions.values()) or engine.ready:
        if late and rng.random() < 0.3:
            text, policy = late.pop(0)
            sessions[engine.open(policy)] = cut(text, rng)
        for session, pieces in sessions.items():
            if pieces and rng.random() < 0.5:
                engine.feed(session, Text(pieces.pop(0)))
                if not pieces:
                    engine.feed(session, End())
        for session, event in engine.tick():
            events.setdefault(session, []).append(event)
    return [events[session] for session in sessions]


def cut(text: str, rng: random.Random) -> list[str]:
    pieces = []
    while text:
        n = rng.randint(1, 12)
        pieces.append(text[:n])
        text = text[n:]
    return pieces


def test_committed_words_never_depend_on_how_the_text_was_cut() -> None:
    text = " ".join(fakes.sentences(4, seed=3))
    whole = alone(text)
    engine = fakes.engine()
    session = engine.open("wait-2")
    events = []
    for character in text:
        events += fakes.speak(engine, session, Text(character))
    events += fakes.speak(engine, session, End())
    assert events == whole


def test_wait_k_reads_exactly_k_words_ahead() -> None:
    """The trap of checking the schedule against the current word, which silently runs at k - 1."""
    engine = fakes.engine()
    session = engine.open("wait-3")
    events = fakes.speak(engine, session, Text("a boat sees "))
    written = target_words(events)
    assert all(read == 3 for _, read in written)
    assert len([e for e in events if isinstance(e, Source)]) == 3
    events = fakes.speak(engine, session, Text("the river "))
    for index, (_, read) in enumerate(written + target_words(events)):
        assert read >= min(3 + index, 5)


def test_the_end_of_the_target_before_the_end_of_the_source_is_one_more_read() -> None:
    """A decoder that says `end` early must not end the segment, nor leave a trace in its cache."""
    engine = fakes.engine()
    eos = engine.vocabulary.eos
    engine._model.embedding.weight[eos] *= 40  # now every WRITE wants to end, or never
    for sign in (1, -1):
        engine._model.embedding.weight[eos] *= sign
        session = engine.open("wait-1")
        events = fakes.speak(engine, session, Text("the old house sees a boat."), End())
        assert len([e for e in events if isinstance(e, Source)]) == 6
        assert isinstance(events[-1], Done)


def test_a_late_joiner_is_not_starved() -> None:
    """Seven sessions with endless backlog; one that joins is READ within as many ticks as there are batches."""
    engine = fakes.engine(max_sessions=8, max_batch=2)
    busy = [engine.open("wait-1") for _ in range(7)]
    for session in busy:
        engine.feed(session, Text(" ".join(fakes.sentences(40, seed=1))))
    for _ in range(20):
        engine.tick()
    late = engine.open("wait-1")
    engine.feed(late, Text("bread "))
    heard = [any(session is late for session, _ in engine.tick()) for _ in range(10)]
    assert any(heard)


def test_a_failing_tick_hurts_only_its_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fakes.engine(max_batch=1)
    good, bad = engine.open("wait-1"), engine.open("wait-1")
    real = engine._model.read

    def read(pieces, state, lengths=None):  # type: ignore[no-untyped-def]
        if int(state.encoder.layers[0].rows[0]) == bad.slot:
            raise RuntimeError("broken")
        return real(pieces, state, lengths)

    monkeypatch.setattr(engine._model, "read", read)
    text = "the old house sees a boat."
    for session in (good, bad):
        engine.feed(session, Text(text))
        engine.feed(session, End())
    events = fakes.run(engine)
    assert isinstance(events[bad][-1], Error) and events[bad][-1].code == "internal"
    monkeypatch.undo()
    assert events[good] == alone(text, "wait-1")
    assert engine.sessions == 0
    assert fakes.speak(engine, engine.open("wait-1"), Text(text), End()) == events[good]


def test_a_reused_slot_is_clean() -> None:
    engine = fakes.engine(max_sessions=1)
    abandoned = engine.open("wait-1")
    fakes.speak(engine, abandoned, Text("the young teacher often writes "))
    engine.close(abandoned)
    engine.close(abandoned)
    events = fakes.speak(engine, engine.open("wait-2"), Text("the old house. a boat."), End())
    assert events == alone("the old house. a boat.")


def test_segments_are_translated_as_if_each_stood_alone() -> None:
    """A sentence end closes the segment: state is reset, so an hour of text costs what its longest sentence costs."""
    first, second = fakes.sentences(2, seed=8)
    together = alone(f"{first} {second}")
    one, two = alone(first), alone(second)
    assert len([e for e in together if isinstance(e, Segment)]) == 2
    words = [w for w, _ in target_words(together)]
    assert words == [w for w, _ in target_words(one) + target_words(two)]


def test_text_without_sentence_ends_is_bounded() -> None:
    """No full stop for 500 words: the segment is cut before memory or window overflow, and nothing is lost."""
    engine = fakes.engine()
    session = engine.open("wait-2")
    words = [w for s in fakes.sentences(30, seed=5) for w in s.rstrip(".").split()]
    events = fakes.speak(engine, session, Text(" ".join(words)), End())
    assert [e.text for e in events if isinstance(e, Source)] == words
    counts = [e.source_words for e in events if isinstance(e, Segment)]
    assert max(b - a for a, b in zip([0, *counts], counts, strict=False)) <= 24
    assert isinstance(events[-1], Done) and not any(isinstance(e, Error) for e in events)


def test_state_is_bounded_over_a_long_stream() -> None:
    engine = fakes.engine(max_sessions=1)
    session = engine.open("wait-2")
    for sentence in fakes.sentences(20, seed=2):
        fakes.speak(engine, session, Text(sentence + " "))
    state = engine._slots.state
    assert int(state.encoder.layers[0].length.max()) <= 96
    assert int(state.decoder[0].source.length.max()) <= 96
    assert not session._source and session.backlog == 0 and not session.events


def test_a_policy_changes_in_the_middle_of_a_session() -> None:
    engine = fakes.engine()
    session = engine.open("wait-1")
    text = "the old house sees a boat and the river near a garden."
    fakes.speak(engine, session, Text(text[:22]))
    events = fakes.speak(engine, session, SetPolicy("wait-6"), Text(text[22:]), End())
    changed = next(e for e in events if isinstance(e, Changed))
    assert changed.policy == "wait-6" and changed.index == 5
    after = target_words([e for e in events if e.seq > changed.seq])
    assert after[0][1] >= 7
    with pytest.raises(PolicyError):
        engine.feed(engine.open(), SetPolicy("wait-0"))


def test_a_mark_comes_back_after_all_that_the_policy_allows() -> None:
    engine = fakes.engine()
    session = engine.open("wait-2")
    events = fakes.speak(engine, session, Text("a small boat "), Mark("x"), Text("takes bread "))
    at = next(i for i, e in enumerate(events) if isinstance(e, Marked))
    before, after = events[:at], events[at + 1 :]
    assert len([e for e in before if isinstance(e, Source)]) == 3
    assert target_words(before) and all(read == 3 for _, read in target_words(before)[1:])
    assert len([e for e in after if isinstance(e, Source)]) == 2


def test_flush_commits_all_and_the_session_goes_on() -> None:
    engine = fakes.engine()
    session = engine.open("wait-5")
    events = fakes.speak(engine, session, Text("a small boat"), Flush())
    assert isinstance(events[-1], Segment) and target_words(events)
    assert fakes.speak(engine, session, Flush()) == []
    assert fakes.speak(engine, session, Text("the river. "))


def test_wrong_commands_are_named_and_change_nothing() -> None:
    engine = fakes.engine()
    session = engine.open("wait-1")
    engine.feed(session, Text("bread ", 100.0))
    for at in (99.0, float("nan"), float("inf"), -1.0):
        with pytest.raises(SessionError) as error:
            engine.feed(session, Text("water ", at))
        assert error.value.code == "bad_clock"
    events = fakes.speak(engine, session, Text("light", 200.0), End())
    assert [(e.text, e.at) for e in events if isinstance(e, Source)] == [
        ("bread", 100.0),
        ("light", 200.0),
    ]
    with pytest.raises(SessionError) as error:
        engine.feed(session, Text("door"))
    assert error.value.code == "bad_order"


ODD = ["", "   \n\n  ", "\u200b \u00ad", "...", "今天天气很好", "x" * 700, "\x00\x07", "🙂" * 40]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_text_is_survived(text: str) -> None:
    events = alone(text)
    assert isinstance(events[-1], Done)
    if text.strip() and text.isalpha():
        assert "".join(e.text for e in events if isinstance(e, Source)) == text


def test_closing_at_any_time_leaks_nothing() -> None:
    """Sessions closed in any state, waiting, reading, writing, paused, ended: all slots are free again and clean."""
    rng = random.Random(5)
    engine = fakes.engine(max_sessions=4, max_batch=3)
    live: list[Session] = []
    for _ in range(400):
        if engine.sessions < 4 and rng.random() < 0.5:
            live.append(engine.open(rng.choice(["wait-1", "wait-3", "full"])))
        if live and rng.random() < 0.7:
            session = rng.choice(live)
            if not session.closed and not session._ending:
                command = rng.choice([Text("the old house "), Flush(), Mark("x"), End()])
                engine.feed(session, rng.choice([command, SetPolicy("wait-2"), Text("boat. ")]))
        if live and rng.random() < 0.1:
            engine.pause(rng.choice(live), rng.random() < 0.5)
        if live and rng.random() < 0.15:
            engine.close(live.pop(rng.randrange(len(live))))
        if rng.random() < 0.6:
            engine.tick()
        live = [session for session in live if session in engine._sessions]
        waiting = [session for kind in engine._ready.values() for session in kind]
        assert len(waiting) == len(set(waiting)) and set(waiting) <= engine._sessions
        assert set(engine._spoken) <= engine._sessions
        assert engine._slots.free + engine.sessions == 4
        assert len({session.slot for session in engine._sessions}) == engine.sessions
    for session in live:
        engine.close(session)
    assert engine._slots.free == 4 and not engine.ready
    assert fakes.speak(engine, engine.open("wait-2"), Text("a boat."), End()) == alone("a boat.")


def test_a_paused_session_waits_and_loses_nothing() -> None:
    engine = fakes.engine()
    session = engine.open("wait-1")
    engine.pause(session, True)
    engine.feed(session, Text("the old house. "))
    assert not engine.ready and session.backlog == 3
    engine.pause(session, False)
    assert fakes.speak(engine, session, End()) == alone("the old house. ", "wait-1")


@pytest.mark.gpu
def test_cuda_gives_the_tokens_of_the_cpu() -> None:
    cpu = fakes.engine()
    cuda = Engine(fakes.model().to("cuda"), fakes.vocabulary(), 16, 8)
    for text in fakes.sentences(5, seed=9):
        runs = [fakes.speak(e, e.open("wait-2"), Text(text), End()) for e in (cpu, cuda)]
        assert runs[0] == runs[1]
    assert torch.cuda.memory_allocated() > 0
