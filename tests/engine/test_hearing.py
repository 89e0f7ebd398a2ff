"""Sessions that hear: the same events for any cutting and any company, commands in their place, a bounded state."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

import fakes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamtrans.audio.pcm import Samples
from streamtrans.audio.speech_detector import DetectorState
from streamtrans.engine import Engine, Session, SessionError
from streamtrans.messages import (
    Audio,
    Changed,
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
from streamtrans.nn.recurrent import LSTMState
from streamtrans.policy import Action
from streamtrans.training.synthesis import Synthesizer, Voice

RATE = 16_000


def quiet(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


@functools.cache
def talk(seed: int = 0) -> bytes:
    """Two sentences with pauses around them, 5 s."""
    parts = (quiet(0.5), fakes.noise(1.6, seed), quiet(0.9), fakes.noise(1.0, seed + 1), quiet(1.0))
    return fakes.pcm(np.concatenate(parts))


def sources(events: Sequence[Event]) -> list[Source]:
    return [e for e in events if isinstance(e, Source)]


def hear(
    engine: Engine, *commands: Command, policy: str = "wait-2", rate: int = RATE
) -> list[Event]:
    return fakes.speak(engine, engine.open(policy, rate=rate), *commands)


@functools.cache
def wholly(seed: int = 0, policy: str = "wait-2") -> list[Event]:
    return hear(fakes.hearing_engine(), Audio(talk(seed)), End(), policy=policy)


def test_what_is_heard_is_translated_with_times() -> None:
    events = wholly()
    words = sources(events)
    kinds = [type(e) for e in events]
    assert len(words) > 8 and kinds.count(Target) > 4 and kinds.count(Segment) == 2
    assert isinstance(events[-1], Done) and events[-1].source_words == len(words)
    assert [e.seq for e in events if not isinstance(e, Error)] == list(range(1, len(events) + 1))
    times = [(w.begin, w.end, w.at) for w in words]
    for begin, end, at in times:
        assert begin is not None and end is not None and begin <= end <= at
    for column in zip(*times, strict=True):
        assert list(column) == sorted(column)
    reads = [e.at for e in events if isinstance(e, (Source, Target))]
    assert reads == sorted(reads)


def test_words_of_a_segment_are_those_of_its_sound_alone() -> None:
    """From its begin, edge included, to the score that ended it: nothing is lost while that is not known yet."""
    heard = [w.text.lower() for w in sources(wholly())]
    frame, whole = 512, np.frombuffer(talk(), "<i2").astype(np.float32) / 32768
    loud = [
        bool((f**2).mean() > 1e-8) for f in whole[: len(whole) // frame * frame].reshape(-1, frame)
    ]
    first = loud.index(True)
    last = next(i for i in range(first, len(loud)) if not any(loud[i : i + 19]))
    begin, known = (first - 7) * frame, (last + 19) * frame
    expected = fakes.heard_wholly(fakes.recognizer(), fakes.spoken_vocabulary(), whole[begin:known])
    assert [w.text for w in expected] == heard[: len(expected)] and len(expected) > 4
    word, event = expected[1], sources(wholly())[1]
    assert event.begin == begin / 16 + word.begin and event.end == begin / 16 + word.end


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 9_000), min_size=10, max_size=60), st.booleans())
def test_any_cutting_gives_the_same_events(sizes: list[int], ticking: bool) -> None:
    """Odd sizes too, with the engine running between them or not."""
    engine, events = fakes.hearing_engine(1), []
    session = engine.open("wait-2", rate=RATE)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(talk()[at : at + size])
        at += size
    for piece in (*pieces, talk()[at:]):
        engine.feed(session, Audio(piece))
        if ticking:
            events += fakes.run(engine).get(session, [])
    assert [*events, *fakes.speak(engine, session, End())] == wholly()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_any_cutting_gives_the_same_events_at_other_rates(rate: int) -> None:
    """Marks included: soxr gives samples in blocks, sooner or later as it is fed."""
    sound = fakes.pcm(np.resize(fakes.noise(3.0, 4), 2 * rate))
    half = len(sound) // 4 * 2

    def said(rng: random.Random | None) -> list[Event]:
        engine = fakes.hearing_engine(1)
        session, events = engine.open("wait-2", rate=rate), []
        for part, command in ((sound[:half], Mark("half")), (sound[half:], End())):
            while part:
                size = rng.randint(1, 6_000) if rng else len(part)
                engine.feed(session, Audio(part[:size]))
                part = part[size:]
                if rng is None or rng.random() < 0.5:  # a busy engine gets to it later
                    events += fakes.run(engine).get(session, [])
            events += fakes.speak(engine, session, command)
        return events

    expected = said(None)
    assert any(isinstance(e, Marked) for e in expected) and len(sources(expected)) > 4
    for seed in range(3):
        assert said(random.Random(seed)) == expected


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 5))
def test_together_gives_what_alone_gives(seed: int, batch: int) -> None:
    """Sessions of sound and of text, beginning at any time, in one engine with used rows."""
    rng, engine = random.Random(seed), fakes.hearing_engine(2, batch)
    late: list[tuple[int | None, list[Command]]] = []
    for i in (0, 2):
        sound = talk(i)
        cuts = sorted(rng.sample(range(len(sound)), 9))
        pieces = [sound[a:b] for a, b in zip([0, *cuts], [*cuts, len(sound)], strict=True)]
        late.append((RATE, [*map(Audio, pieces), End()]))
    text = "the old house sees a boat. a boat."
    late.insert(1, (None, [*(Text(c) for c in text), End()]))
    left, events, opened = dict[Session, list[Command]](), dict[Session, list[Event]](), []
    while late or any(left.values()) or engine.ready:
        if late and engine.sessions < 2 and rng.random() < 0.3:
            rate, commands = late.pop(0)
            session = engine.open("wait-2", rate=rate)
            opened.append(session)
            left[session] = commands
        for session, commands in left.items():
            if commands and rng.random() < 0.4:
                engine.feed(session, commands.pop(0))
        for session, event in engine.tick():
            events.setdefault(session, []).append(event)
    alone = fakes.hearing_engine(1)
    typed = fakes.speak(alone, alone.open("wait-2"), Text(text), End())
    assert [events[s] for s in opened] == [wholly(0), typed, wholly(2)]


def test_commands_keep_their_place_among_the_sound() -> None:
    """In the middle of the first sentence: a flush ends the segment there, and the rest is one more."""
    sound, middle = talk(), 2 * int(1.4 * RATE)
    orders = Flush(), Mark("flushed"), SetPolicy("wait-1")
    last = Audio(sound[middle:]), Mark("last"), End()
    events = hear(fakes.hearing_engine(), Audio(sound[:middle]), *orders, *last)
    kinds = [type(e) for e in events if not isinstance(e, (Source, Target))]
    assert kinds == [Segment, Marked, Changed, Segment, Segment, Marked, Done]
    flushed = next(i for i, e in enumerate(events) if isinstance(e, Marked))
    before, after = sources(events[:flushed]), sources(events[flushed:])
    assert len(before) > 2 and all(w.at <= 1400 for w in before)
    assert len(after) > 5 and all((w.begin or 0) >= 1400 - 32 - 40 for w in after)


def test_an_end_hears_all_that_was_fed() -> None:
    """No pause behind the words, and less than a frame at the end."""
    sound = fakes.noise(1.0)[: RATE - 200]
    events = hear(fakes.hearing_engine(), Audio(fakes.pcm(sound)), End())
    samples = np.frombuffer(fakes.pcm(sound), "<i2").astype(np.float32) / 32768
    expected = fakes.heard_wholly(fakes.recognizer(), fakes.spoken_vocabulary(), samples)
    assert [w.text.lower() for w in sources(events)] == [w.text for w in expected] != []
    assert all(w.end is not None and w.end <= w.at <= len(sound) / 16 for w in sources(events))


def test_half_a_sample_at_the_end_is_no_sound() -> None:
    assert hear(fakes.hearing_engine(), Audio(talk() + b"\x7f"), End()) == wholly()


def test_a_word_comes_with_the_sound_that_completes_its_chunk() -> None:
    """Frame by frame: `at` is the sound that was in, and a word waits no longer than chunk, look-ahead and a frame."""
    engine = fakes.hearing_engine()
    session, sound, fed = engine.open("wait-1", rate=RATE), talk(), 0.0
    words = []
    for at in range(0, 2 * 3 * RATE, 320):
        fed += 10
        some = sources(fakes.speak(engine, session, Audio(sound[at : at + 320])))
        assert all(fed - 10 < word.at <= fed for word in some)
        words += some
    assert words == sources(wholly(policy="wait-1"))[: len(words)] and len(words) > 20
    latency = fakes.HEARD.latency + 32
    late = [w for w in words if words[0].at < w.at < 2100]  # the first wait for their segment
    assert len(late) > 5 and all(w.end is not None and w.at - w.end <= latency for w in late)


def test_a_prefix_is_written_again() -> None:
    """A session that takes over hears the same sound and goes on behind what was committed."""
    committed = [e.text for e in wholly() if isinstance(e, Target)][:3]
    engine = fakes.hearing_engine()
    session = engine.open("wait-2", prefix=committed, rate=RATE)
    assert fakes.speak(engine, session, Audio(talk()), End()) == wholly()


def test_what_waits_is_told() -> None:
    engine = fakes.hearing_engine()
    session = engine.open("wait-2", rate=RATE)
    engine.feed(session, Audio(talk()))
    assert session.clock == 5000 and session.waiting_ms == 5000 and session.backlog > 5000 / 80 - 1
    assert engine.ready and session.action() is Action.HEAR
    fakes.run(engine)
    assert session.backlog == 0 and 0 <= session.waiting_ms < 32 and session.clock == 5000
    assert not engine.ready
    text = engine.open("wait-2")
    engine.feed(text, Text("a boat ", 70.0))
    assert (text.clock, text.waiting_ms, text.backlog) == (70.0, 0.0, 2)


def test_a_paused_session_is_not_heard() -> None:
    engine = fakes.hearing_engine()
    session = engine.open("wait-2", rate=RATE)
    engine.pause(session, True)
    assert fakes.speak(engine, session, Audio(talk()), End()) == []
    engine.pause(session, False)
    assert fakes.run(engine)[session] == wholly()


def test_wrong_kinds_and_rates_are_named_and_change_nothing() -> None:
    deaf, engine = fakes.engine(), fakes.hearing_engine(1)
    assert engine.hears and not deaf.hears
    for where, rate, code in ((deaf, RATE, "no_speech"), (engine, 11_025, "bad_rate")):
        with pytest.raises(SessionError) as error:
            where.open(rate=rate)
        assert error.value.code == code
    session = engine.open("wait-2", rate=RATE)  # no slot was lost
    with pytest.raises(SessionError) as error:
        engine.feed(session, Text("the old house "))
    assert error.value.code == "bad_kind"
    assert fakes.speak(engine, session, Audio(talk()), End()) == wholly()
    with pytest.raises(SessionError) as error:
        engine.feed(session, Audio(talk()))
    assert error.value.code == "bad_order"


def test_how_long_a_pause_is_can_be_asked_for() -> None:
    """0.9 s of silence lie within the talk, 1.0 s behind it."""
    engine = fakes.hearing_engine()
    segments = {}
    for pause in (None, 600, 800, 1000, 5000):
        events = fakes.speak(
            engine, engine.open("wait-2", rate=RATE, pause=pause), Audio(talk()), End()
        )
        segments[pause] = [e for e in events if isinstance(e, Segment)]
    assert segments[None] == segments[600]
    assert [len(found) for found in segments.values()] == [2, 2, 2, 1, 1]
    for rate, pause in ((RATE, 199), (RATE, 5001), (RATE, -1), (None, 600)):
        with pytest.raises(SessionError) as error:
            engine.open(rate=rate, pause=pause)
        assert error.value.code == "bad_pause"
    assert fakes.speak(engine, engine.open("wait-2", rate=RATE), Audio(talk()), End()) == wholly()


@pytest.mark.parametrize("pause", [250, 1100])
def test_any_cutting_gives_the_same_events_whatever_a_pause_is(pause: int) -> None:
    engine, sound = fakes.hearing_engine(), talk(2)
    whole = fakes.speak(engine, engine.open("wait-2", rate=RATE, pause=pause), Audio(sound), End())
    pieces = [Audio(sound[at : at + 3333]) for at in range(0, len(sound), 3333)]
    session = engine.open("wait-2", rate=RATE, pause=pause)
    assert fakes.speak(engine, session, *pieces, End()) == whole


NO_SPEECH = {
    "digital zero": np.zeros(10 * RATE),
    "direct current": np.full(10 * RATE, 0.4),
    "white noise": np.random.default_rng(0).standard_normal(10 * RATE) * 0.05,
    "loud noise, clipped": np.random.default_rng(1).standard_normal(10 * RATE) * 3,
    "full scale square": np.sign(np.sin(2 * np.pi * 210 * np.arange(10 * RATE) / RATE)),
    "hum": 0.2 * np.sin(2 * np.pi * 50 * np.arange(10 * RATE) / RATE),
}


@pytest.mark.parametrize("what", NO_SPEECH)
def test_what_is_no_speech_gives_no_words(what: str) -> None:
    """With the real detector and a recogniser that hears words in any noise."""
    engine = Engine(
        fakes.model(), fakes.vocabulary(), 1, 1, recognizer=(fakes.recognizer(), fakes.spoken_vocabulary())
    )  # fmt: skip
    session = engine.open("wait-1", rate=RATE)
    sound = fakes.pcm(NO_SPEECH[what].clip(-1, 1).astype(np.float32))
    events = fakes.speak(engine, session, Audio(sound), Flush(), Audio(sound[:32_000]), End())
    assert [type(e) for e in events] == [Done]


def test_speech_is_found_and_heard() -> None:
    """With the real detector, which scores a voice in float64 as in float32."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    text = "The weather is nice today and we are going to the river."
    sentence = Synthesizer().speak(text, Voice("en-us+m3")).samples
    engine = Engine(
        fakes.model(words=80), fakes.vocabulary(), 1, 1, recognizer=(fakes.recognizer(), fakes.spoken_vocabulary())
    )  # fmt: skip
    sound = np.concatenate((quiet(1.0), sentence, quiet(1.5)))
    events = hear(engine, Audio(fakes.pcm(sound)))
    begin, end = 1000, 1000 + len(sentence) / 16
    assert isinstance(events[-1], Segment) and len(sources(events)) > 8
    for word in sources(events):
        assert word.begin is not None and word.end is not None
        assert begin - 500 < word.begin <= word.end < end + 700


def test_a_failing_step_ends_only_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fakes.hearing_engine(max_batch=1)
    good, bad = (engine.open("wait-2", rate=RATE) for _ in range(2))
    text = engine.open("wait-2")
    engine.feed(text, Text("the old house. "))

    def failing(score: float) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(bad.listener, "scored", failing)
    for session in (good, bad):
        engine.feed(session, Audio(talk()))
        engine.feed(session, End())
    events = fakes.run(engine)
    assert events[good] == wholly() and isinstance(events[text][-1], Segment)
    assert [type(e) for e in events[bad]] == [Error]
    assert hear(engine, Audio(talk()), End()) == wholly()  # on the row that failed


def test_warming_leaves_no_trace() -> None:
    engine = fakes.hearing_engine(2)
    engine.warm_hearing(2)
    assert hear(engine, Audio(talk()), End()) == wholly()
    engine.open()
    with pytest.raises(ValueError, match="must be free"):
        engine.warm_hearing(1)


def test_sound_without_end_leaves_no_trace() -> None:
    """Speech without end, then silence: what a session keeps of its sound is bounded."""
    engine = fakes.hearing_engine(1)
    session = engine.open("wait-2", rate=RATE)
    listener = session.listener
    assert listener is not None
    kept = []
    for i in range(14):
        sound = quiet(0.5) if i % 3 == 2 or i > 10 else fakes.noise(1.0, i % 2)
        events = fakes.speak(engine, session, Audio(fakes.pcm(sound)))
        kept.append(len(listener._sound._kept) // 4)
        assert not listener._due and not listener._heard and not listener._commands
        assert len(events) < 100 and not session._source
    assert max(kept) <= 512 * 20 + 1280 and kept[-1] <= 512 * 12


def test_flushes_behind_sound_that_waits_are_backlog() -> None:
    """A client that does not read pauses its session: crumbs and flushes must not pile up there uncounted."""
    engine = fakes.hearing_engine()
    session = engine.open(rate=RATE)
    engine.pause(session, True)
    engine.feed(session, Audio(bytes(4096)))
    before = session.backlog
    for _ in range(50):
        engine.feed(session, Audio(bytes(1)))
        engine.feed(session, Flush())
    assert session.backlog >= before + 50
    engine.pause(session, False)
    assert isinstance(fakes.speak(engine, session, End())[-1], Done)
    assert session.backlog == 0


class Inert(fakes.Loudness):
    """Goes by what it heard before as much as by what it hears: a stream without its past sounds different."""

    def step(
        self, x: Tensor, state: DetectorState, lengths: Tensor | None = None
    ) -> tuple[Tensor, DetectorState]:
        loud, after = super().step(x, state, lengths)
        scores, mean = [], state.memory.hidden[:, 0, :1]
        for frame in loud.unbind(1):
            mean = 0.8 * mean + 0.2 * frame[:, None]
            scores.append(mean)
        hidden = mean[:, None].expand_as(state.memory.hidden).clone()
        memory = LSTMState(hidden, state.memory.cell)
        return torch.cat(scores, 1), DetectorState(after.samples, memory)


@pytest.mark.parametrize("pause", [1.0, 2.0])
def test_what_follows_a_segment_follows_from_what_follows_it_in_the_sound(pause: float) -> None:
    """To the word and its times: a client sends the sound again from `Segment.end` to another server."""
    rng = np.random.default_rng(1)
    parts = [(fakes.noise(rng.uniform(0.5, 1.5), n), quiet(pause)) for n in range(5)]
    whole = np.concatenate([quiet(0.3), *(part for pair in parts for part in pair)])
    engine = fakes.hearing_engine(detector=Inert())

    def heard(begin: float) -> list[tuple[object, ...]]:
        events = hear(engine, Audio(fakes.pcm(whole[round(begin * 16) :])), End())
        return [
            (e.text, e.begin + begin, e.end + begin)
            if isinstance(e, Source) and e.begin is not None and e.end is not None
            else ("segment end", (e.end or 0) + begin)
            for e in events
            if isinstance(e, (Source, Segment))
        ]

    told = heard(0.0)
    ends = [place for place, e in enumerate(told) if e[0] == "segment end"]
    assert len(ends) == 5
    for place in ends[:-1]:
        assert heard(float(str(told[place][1]))) == told[place + 1 :]


def test_sound_waits_where_it_is_told_to_and_nothing_else_does() -> None:
    """A tick that is not to hear READs and WRITEs; the words are those of one that hears at once."""
    engine = fakes.hearing_engine(2)
    one, other = engine.open("wait-1", rate=RATE), engine.open("wait-1")
    engine.feed(one, Audio(talk()))
    engine.feed(other, Text("a b c "))
    assert engine.pressing
    told: list[Event] = []
    while engine.pressing:
        told += [event for session, event in engine.tick(hear=False) if session is other]
        assert engine.last_action is not Action.HEAR
    assert len(sources(told)) == 3 and any(isinstance(e, Target) for e in told)
    assert engine.ready and one.waiting_ms > 4_000
    assert engine.tick(hear=False) == [] and engine.last_action is None
    engine.tick()
    assert engine.last_action is Action.HEAR and one.waiting_ms < 4_960
