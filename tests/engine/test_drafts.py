"""Drafts beside what is committed: they say what the model would say, and nobody notices that they were made."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import torch
from test_engine import cut

from streamtrans.engine import Engine, Session
from streamtrans.engine.drafts import MOST, PIECES
from streamtrans.messages import Audio, Command, Draft, End, Event, Segment, Target, Text

TEXT = "the old house sees a small boat and the river near a quiet garden today."
Fed = tuple[str, int | None, list[Command]]  # policy, rate, pieces


def drafts_of(engine: Engine, *sessions: Session) -> dict[Session, Draft]:
    for session in sessions:
        engine.drafts.ask(session)
    done: dict[Session, Draft] = {}
    while engine.drafts.going:
        done |= dict(engine.drafts.step())
    return done


def served(
    engine: Engine, fed: list[Fed], rng: random.Random, drafting: bool
) -> tuple[list[list[Event]], int]:
    """What each session says, fed piece by piece between ticks, with drafts asked for and stepped at any time."""
    sessions = {engine.open(policy, rate=rate): pieces[:] for policy, rate, pieces in fed}
    events: dict[Session, list[Event]] = {session: [] for session in sessions}
    count = 0
    while any(sessions.values()) or engine.ready:
        for session, pieces in sessions.items():
            if pieces and rng.random() < 0.3:
                engine.feed(session, pieces.pop(0))
        for session, event in engine.tick():
            events[session].append(event)
        if drafting:
            for session in sessions:
                engine.drafts.ask(session)
            for _ in range(rng.randrange(12)):
                count += sum(bool(draft.target) for _, draft in engine.drafts.step())
    return list(events.values()), count


def texts(rng: random.Random) -> list[Fed]:
    spoken = [" ".join(fakes.sentences(2, seed, 9)) for seed in range(5)]
    policies = ["wait-1", "wait-3", "full", "wait-5:0.2", "wait-2"]
    return [
        (policy, None, [*map(Text, cut(text, rng)), End()])
        for policy, text in zip(policies, spoken, strict=True)
    ]


def talks(rng: random.Random) -> list[Fed]:
    found: list[Fed] = []
    for seed in range(3):
        quiet = np.zeros(16_000, np.float32)
        sound = fakes.pcm(np.concatenate((fakes.noise(1.5, seed), quiet, fakes.noise(0.8, 9))))
        pieces = [Audio(sound[i : i + 3200]) for i in range(0, len(sound), 3200)]
        found.append((f"wait-{1 + seed}", 16_000, [*pieces, End()]))
    return found


@pytest.mark.parametrize(
    ("made", "source"),
    [
        (fakes.engine, texts),
        (lambda: Engine(fakes.model(7), fakes.vocabulary(), 8, 3, beam=3), texts),
        (lambda: Engine(fakes.system("gru-wait-k"), fakes.vocabulary(), 8, 3), texts),
        (lambda: Engine(fakes.system("mocha"), fakes.vocabulary(), 8, 3), texts),
        (fakes.hearing_engine, talks),
        (fakes.direct_engine, talks),
    ],
    ids=["text", "beam", "recurrent", "monotonic", "cascade", "direct"],
)
def test_events_are_the_same_with_drafts_and_without(
    made: Callable[[], Engine], source: Callable[[random.Random], list[Fed]]
) -> None:
    """Drafts of all sessions at once, begun and left at any time."""
    plain, none = served(made(), source(random.Random(1)), random.Random(2), drafting=False)
    drafted, count = served(made(), source(random.Random(1)), random.Random(3), drafting=True)
    assert drafted == plain
    assert none == 0 and count > 10


def test_drafts_together_are_the_drafts_alone() -> None:
    words = TEXT.split()

    def opened(engine: Engine, length: int) -> Session:
        session = engine.open("wait-3")
        fakes.speak(engine, session, Text(" ".join(words[:length]) + " "))
        return session

    alone = []
    for length in range(1, 9):
        engine = fakes.engine()
        alone += drafts_of(engine, opened(engine, length)).values()
    engine = fakes.engine()
    sessions = [opened(engine, length) for length in range(1, 9)]
    together = drafts_of(engine, *sessions)
    assert [together[session] for session in sessions] == alone
    assert len(set(alone)) > 4


def test_a_draft_is_what_a_larger_policy_freedom_would_commit() -> None:
    """Let the session write on from where it stands: these are the words of the draft."""
    seen = 0
    for seed in range(6):
        engine = fakes.engine(seed=seed)
        session = engine.open("wait-4")
        fakes.speak(engine, session, Text("the old house sees a small boat "))
        draft = drafts_of(engine, session)[session]
        engine.adopt(session, "wait-1")  # three words more, at least, without another READ
        more = [e.text for e in fakes.run(engine)[session] if isinstance(e, Target)]
        assert list(draft.target[: len(more)]) == more[: len(draft.target)]
        seen += len(more) > 1 and len(draft.target) > 1
    assert seen > 2


def test_what_is_overtaken_is_dropped() -> None:
    engine = fakes.engine()
    session, other = engine.open("wait-1"), engine.open("wait-1")
    for one in (session, other):
        fakes.speak(engine, one, Text("the old house "))
        engine.drafts.ask(one)
    engine.drafts.step()  # begun
    fakes.speak(engine, session, Text("sees "))
    done: list[tuple[Session, Draft]] = []
    while engine.drafts.going:
        done += engine.drafts.step()
    assert [one for one, _ in done] == [other]
    engine.drafts.ask(session)
    engine.close(session)
    assert engine.drafts.step() == []


def test_nothing_is_foreseen_before_the_first_word_nor_after_the_end() -> None:
    engine = fakes.engine()
    session = engine.open("wait-2")
    assert drafts_of(engine, session) == {session: Draft((), ())}
    events = fakes.speak(engine, session, Text(TEXT + " "))
    assert isinstance(events[-1], Segment)
    assert drafts_of(engine, session) == {session: Draft((), ())}
    forced = engine.open("wait-2", prefix=["un", "deux", "trois"])
    fakes.speak(engine, forced, Text("the old house "))
    assert drafts_of(engine, forced) == {forced: Draft((), ())}  # one word is still forced


def test_a_draft_is_bounded() -> None:
    engine = fakes.engine()
    engine._model.embedding.weight[engine.vocabulary.eos] = 0.0
    session = engine.open("full")
    fakes.speak(engine, session, Text(" ".join(TEXT.split()[:10]) + " "))
    engine.drafts.ask(session)
    steps = 0
    while engine.drafts.going:
        engine.drafts.step()
        steps += 1
    assert steps <= PIECES + 1


def test_more_sessions_than_are_drafted_at_once_wait_their_turn() -> None:
    engine = fakes.engine(max_sessions=MOST + 5)
    sessions = [engine.open("wait-2") for _ in range(MOST + 5)]
    for session in sessions:
        fakes.speak(engine, session, Text("the old house "))
    assert set(drafts_of(engine, *sessions)) == set(sessions)


def test_the_word_that_is_being_heard_is_the_draft_of_the_source() -> None:
    engine = fakes.hearing_engine()
    session = engine.open("wait-3", rate=16_000)
    fakes.speak(engine, session, Audio(fakes.pcm(fakes.noise(1.0, 4))))
    assert session.listener is not None
    session.listener._words = SimpleNamespace(open=" two hou")  # type: ignore[assignment]
    assert drafts_of(engine, session)[session].source == ("two", "hou")
    text = engine.open("wait-3")
    fakes.speak(engine, text, Text("half a wo"))
    assert drafts_of(engine, text)[text].source == ()  # who typed it knows it


def test_a_failing_draft_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    engine = fakes.engine()
    session = engine.open("wait-2")
    fakes.speak(engine, session, Text("the old "))
    engine.drafts.ask(session)
    engine.drafts.step()
    write = engine._model.write
    engine._model.write = lambda *_: torch.zeros(1)[5]  # type: ignore[method-assign,assignment]
    assert engine.drafts.step() == [] and not engine.drafts.going
    engine._model.write = write  # type: ignore[method-assign]
    assert "drafts of 1 sessions failed" in caplog.text
    rest = fakes.speak(engine, session, Text("house. "), End())
    assert any(isinstance(event, Segment) for event in rest)
