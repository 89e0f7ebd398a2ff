"""Sessions that hear with a language model: the same law as without one (test_hearing.py), words a little later."""

from __future__ import annotations

import functools
import random

import fakes
import numpy as np
from fakes import hearing_engine, speak

from streamtrans.engine import Engine, Session
from streamtrans.evaluation.recognition import recognize
from streamtrans.messages import Audio, Command, End, Event, Segment, Source

RATE = 16_000


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


@functools.cache
def talk(seed: int) -> bytes:
    """Two sentences with pauses around them."""
    parts = (quiet(0.5), fakes.noise(1.6, seed), quiet(0.9), fakes.noise(1.0, seed + 1), quiet(1.0))
    return fakes.pcm(np.concatenate(parts))


def engine(sessions: int = 1, batch: int = 4) -> Engine:
    return hearing_engine(sessions, batch, ear=fakes.advised_recognizer())


@functools.cache
def wholly(seed: int) -> list[Event]:
    one = engine()
    return speak(one, one.open("wait-2", rate=RATE), Audio(talk(seed)), End())


def words(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Source)]


def test_other_words_are_heard_than_without_it() -> None:
    deaf = hearing_engine(1)
    greedy = speak(deaf, deaf.open("wait-2", rate=RATE), Audio(talk(0)), End())
    assert len(words(wholly(0))) > 4 and words(wholly(0)) != words(greedy)
    assert sum(isinstance(event, Segment) for event in wholly(0)) == 2
    sources = [event for event in wholly(0) if isinstance(event, Source)]
    for column in zip(*((w.begin, w.end, w.at) for w in sources), strict=True):
        assert list(column) == sorted(column)


def test_any_cutting_and_any_company_give_the_same_events() -> None:
    for seed in range(3):
        rng, together = random.Random(seed), engine(3, seed + 1)
        left: dict[Session, list[Command]] = {}
        for number in range(3):
            sound = talk(number)
            cuts = sorted(rng.sample(range(len(sound)), 9))
            pieces = [sound[a:b] for a, b in zip([0, *cuts], [*cuts, len(sound)], strict=True)]
            left[together.open("wait-2", rate=RATE)] = [*map(Audio, pieces), End()]
        events: dict[Session, list[Event]] = {session: [] for session in left}
        while any(left.values()) or together.ready:
            for session, commands in left.items():
                if commands and rng.random() < 0.4:
                    together.feed(session, commands.pop(0))
            for session, event in together.tick():
                events[session].append(event)
        assert list(events.values()) == [wholly(number) for number in range(3)]


def test_scores_are_of_what_is_served() -> None:
    sound = fakes.noise(1.92, 7)  # whole frames of the detector
    one = engine()
    events = speak(one, one.open("wait-1", rate=RATE), Audio(fakes.pcm(sound)), End())
    sent = np.frombuffer(fakes.pcm(sound), "<i2").astype(np.float32) / 32768
    parts = fakes.advised_recognizer(), fakes.spoken_vocabulary()
    assert recognize(*parts, sent) == " ".join(words(events)).lower() != ""


def test_a_direct_model_hears_as_if_there_was_none() -> None:
    events = []
    for ear in (fakes.recognizer(), fakes.advised_recognizer()):
        one = fakes.direct_engine(1, ear=ear)
        events.append(speak(one, one.open("wait-2", rate=RATE), Audio(talk(0)), End()))
    assert events[0] == events[1] and len(words(events[0])) > 4
