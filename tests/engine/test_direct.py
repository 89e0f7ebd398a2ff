"""Sessions of a direct model: speech in, the states of heard pieces READ in place of words, the same events out."""

from __future__ import annotations

import functools
import random

import fakes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.engine import Engine, Session, SessionError
from streamtrans.messages import (
    Audio,
    Command,
    Done,
    End,
    Event,
    Flush,
    Segment,
    SetPolicy,
    Source,
    Target,
    Text,
)
from streamtrans.models import piece_states
from streamtrans.models.ctc import HeardWord
from streamtrans.models.search import NEVER
from streamtrans.text.target import Detokenizer

RATE = 16_000


@functools.cache
def talk(seed: int = 0) -> bytes:
    """Two sentences with pauses around them."""
    silence = np.zeros(RATE // 2, np.float32)
    parts = (silence, fakes.noise(1.6, seed), silence, silence, fakes.noise(1.0, seed + 1), silence)
    return fakes.pcm(np.concatenate(parts))


def say(engine: Engine, *commands: Command, policy: str = "wait-2") -> list[Event]:
    return fakes.speak(engine, engine.open(policy, rate=RATE), *commands)


@functools.cache
def wholly(seed: int = 0, policy: str = "wait-2") -> list[Event]:
    return say(fakes.direct_engine(), Audio(talk(seed)), End(), policy=policy)


@functools.cache
def segment() -> tuple[bytes, list[HeardWord]]:
    """Sound that is one segment, and what is heard in it, offline."""
    sound = fakes.pcm(fakes.noise(1.5, 9))
    samples = np.frombuffer(sound, "<i2").astype(np.float32) / 32768
    return sound, fakes.heard_wholly(fakes.recognizer(), fakes.spoken_vocabulary(), samples)


def by_hand(heard: list[HeardWord], k: int) -> tuple[list[str], list[int]]:
    """The target words of a segment under wait-k and how many words had been READ for each, one step after another."""
    model, state = fakes.direct_model(), fakes.direct_model().init_state(1)
    reads = [word.states for word in heard] + [piece_states.end(fakes.HEARD.dim)]
    text, previous = Detokenizer(fakes.vocabulary(), "fr"), fakes.vocabulary().bos
    words, counts, read, pieces, written, hold = [], [], 0, 0, 0, False
    while True:
        ended = read == len(reads)
        if not ended and (hold or read < len(words) + k):
            unit = reads[read]
            assert unit is not None
            state = model.read(torch.from_numpy(unit)[None].double(), state)
            read, pieces, hold = read + 1, pieces + len(unit) * (read < len(heard)), False
            continue
        logits, _, after = model.write(torch.tensor([previous]), state)
        logits[:, list(NEVER)] = -torch.inf
        piece = int(logits.argmax())
        over = not text.pieces and written >= int(np.ceil(1.5 * pieces)) + 8
        if piece == fakes.vocabulary().eos or over:
            if ended:
                rest = text.flush()
                return words + [rest] * bool(rest), counts + [len(heard)] * bool(rest)
            hold = True
            continue
        state, previous, written = after, piece, written + 1
        if word := text.feed(piece):
            words.append(word)
            counts.append(min(read, len(heard)))


@pytest.mark.parametrize("k", [1, 3])
def test_it_writes_what_the_model_says_of_the_states(k: int) -> None:
    sound, heard = segment()
    events = say(fakes.direct_engine(), Audio(sound), End(), policy=f"wait-{k}")
    assert [e.text.lower() for e in events if isinstance(e, Source)] == [
        word.text for word in heard
    ]
    targets = [e for e in events if isinstance(e, Target)]
    words, reads = by_hand(heard, k)
    assert [e.text for e in targets] == words and len(words) > 5
    assert [e.read for e in targets] == reads


def test_words_are_heard_and_timed_as_by_an_engine_of_words() -> None:
    through = say(fakes.hearing_engine(), Audio(talk()), End())
    heard = [e for e in through if isinstance(e, Source)]
    ours = [e for e in wholly() if isinstance(e, Source)]
    assert [(e.text, e.at, e.begin, e.end) for e in ours] == [
        (e.text, e.at, e.begin, e.end) for e in heard
    ]
    kinds = [type(e) for e in wholly()]
    assert kinds.count(Segment) == 2 and kinds[-1] is Done and kinds.count(Target) > 8
    assert [e.text for e in wholly() if isinstance(e, Target)] != [
        e.text for e in through if isinstance(e, Target)
    ]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 9_000), min_size=10, max_size=60), st.booleans())
def test_any_cutting_gives_the_same_events(sizes: list[int], ticking: bool) -> None:
    engine, events, at = fakes.direct_engine(1), list[Event](), 0
    session = engine.open("wait-2", rate=RATE)
    for size in (*sizes, len(talk())):
        engine.feed(session, Audio(talk()[at : at + size]))
        at += size
        if ticking:
            events += fakes.run(engine).get(session, [])
    assert [*events, *fakes.speak(engine, session, End())] == wholly()


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 5))
def test_together_gives_what_alone_gives(seed: int, batch: int) -> None:
    """In one engine with used rows, beside an engine of words in the same process that has sessions of text."""
    rng, engine, other = random.Random(seed), fakes.direct_engine(2, batch), fakes.hearing_engine(1)
    late: list[list[Command]] = []
    for i in (0, 2, 0):
        cuts = sorted(rng.sample(range(len(talk(i))), 9))
        pairs = zip([0, *cuts], [*cuts, len(talk(i))], strict=True)
        late.append([*(Audio(talk(i)[a:b]) for a, b in pairs), End()])
    left, events = dict[Session, list[Command]](), dict[Session, list[Event]]()
    typed, said = other.open("wait-2"), list[Event]()
    other.feed(typed, Text("the old house sees a boat. a boat."))
    other.feed(typed, End())
    while late or any(left.values()) or engine.ready:
        if late and engine.sessions < 2 and rng.random() < 0.3:
            left[engine.open("wait-2", rate=RATE)] = late.pop(0)
        for session, commands in left.items():
            if commands and rng.random() < 0.4:
                engine.feed(session, commands.pop(0))
        for session, event in engine.tick():
            events.setdefault(session, []).append(event)
        said += [event for _, event in other.tick()]
    assert [events[s] for s in left] == [wholly(0), wholly(2), wholly(0)]
    alone = fakes.hearing_engine(1)
    text = Text("the old house sees a boat. a boat.")
    assert said == fakes.speak(alone, alone.open("wait-2"), text, End())


def test_commands_prefix_and_beam_are_as_ever() -> None:
    middle = 2 * int(1.4 * RATE)
    first, rest = Audio(talk()[:middle]), Audio(talk()[middle:])
    events = say(fakes.direct_engine(), first, Flush(), SetPolicy("wait-1"), rest, End())
    assert [type(e) for e in events].count(Segment) == 3
    committed = [e.text for e in wholly() if isinstance(e, Target)][:3]
    engine = fakes.direct_engine()
    session = engine.open("wait-2", prefix=committed, rate=RATE)
    assert fakes.speak(engine, session, Audio(talk()), End()) == wholly()
    wide = say(fakes.direct_engine(beam=3), Audio(talk()), End())
    assert [e.text for e in wide if isinstance(e, Source)] == [
        e.text for e in wholly() if isinstance(e, Source)
    ]
    assert isinstance(wide[-1], Done) and wide[-1].target_words > 5


def test_text_is_refused_by_name_and_no_slot_is_lost() -> None:
    engine = fakes.direct_engine(1)
    assert engine.kinds == ("audio",) and engine.hears
    assert fakes.engine().kinds == ("text",) and fakes.hearing_engine().kinds == ("text", "audio")
    with pytest.raises(SessionError, match="send audio") as error:
        engine.open("wait-2")
    assert error.value.code == "bad_kind"
    session = engine.open("wait-2", rate=RATE)
    with pytest.raises(SessionError) as error:
        engine.feed(session, Text("the old house "))
    assert error.value.code == "bad_kind"
    assert fakes.speak(engine, session, Audio(talk()), End()) == wholly()


def test_a_direct_model_needs_the_recogniser_it_came_with() -> None:
    with pytest.raises(ValueError, match="states of the recogniser"):
        Engine(fakes.direct_model(), fakes.vocabulary())
    other = fakes.model(states=24)
    with pytest.raises(ValueError, match="states of the recogniser"):
        Engine(
            other, fakes.vocabulary(), recognizer=(fakes.recognizer(), fakes.spoken_vocabulary())
        )


def test_segments_are_cut_where_the_memory_is_full() -> None:
    """A segment has no more heard pieces than the memory holds, with its end."""
    heard = (fakes.recognizer(), fakes.spoken_vocabulary())
    model = fakes.model(states=fakes.HEARD.dim, memory=12, window=64)
    engine = Engine(model, fakes.vocabulary(), recognizer=heard, detector=fakes.Loudness())
    sound, words = segment()
    sizes = [0 if word.states is None else len(word.states) for word in words]
    events = say(engine, Audio(sound), End())
    assert sum(sizes) > 24 and len([e for e in events if isinstance(e, Segment)]) >= sum(sizes) / 11
    assert [e.text.lower() for e in events if isinstance(e, Source)] == [
        word.text for word in words
    ]
