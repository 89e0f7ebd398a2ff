"""The embedded recogniser of English: what is shipped, what it hears of people and of a synthesised voice, live."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import soundfile

import streamtrans
from streamtrans import demo, pretrained
from streamtrans.audio.pcm import Samples
from streamtrans.evaluation.recognition import word_error_rate
from streamtrans.messages import Event, Segment, Source, Target
from streamtrans.models.checkpoint import load_recognizer
from streamtrans.training.transcript import transcript

FOLDER = pretrained.find_recognizer("auto", "en")
MOST_BYTES = 30_000_000
MOST_WRONG = 0.25  # words in the recordings of the demo, people and a synthesised voice


@functools.cache
def translator() -> streamtrans.Translator:
    return streamtrans.load("en-fr", "cpu", "float32", max_sessions=2)


@functools.cache
def recordings() -> list[tuple[bytes, str]]:
    """16-bit samples of 16 kHz and what is said in them, as a transcript."""
    found = []
    for row in demo.recordings("en"):
        samples, rate = soundfile.read(demo.RECORDINGS / row["path"], dtype="float32")
        assert rate == 16_000
        found.append((pcm(samples), transcript(row["text"], "en")))
    return found


def pcm(samples: Samples) -> bytes:
    return (samples * 32767).round().astype("<i2").tobytes()


def heard(sound: bytes, piece: int, policy: str = "wait-3") -> list[Event]:
    """Its events, fed in pieces of so many bytes; what is told before the sound ends comes before a Segment."""
    with translator().open(policy, rate=16_000) as session:
        events: list[Event] = []
        for at in range(0, len(sound), piece):
            events += session.feed_audio(sound[at : at + piece])
        return events + session.end()


def said(events: list[Event], kind: type[Source] | type[Target] = Source) -> list[str]:
    return [event.text for event in events if isinstance(event, kind)]


def test_it_is_shipped_whole_small_and_with_its_card() -> None:
    assert FOLDER is not None
    files = {p.name: p.stat().st_size for p in FOLDER.iterdir()}
    assert {"model.safetensors", "config.json", "vocabulary.model", "README.md"} < set(files)
    assert {"language-model.safetensors", "scores.json"} < set(files)
    assert sum(files.values()) <= MOST_BYTES
    recognizer, _ = load_recognizer(FOLDER)
    assert recognizer.config.language == "en" and recognizer.language_model is not None


def test_its_scores_are_of_voices_it_never_heard_and_of_people() -> None:
    assert FOLDER is not None
    sets = {row["set"]: row for row in json.loads((FOLDER / "scores.json").read_text())}
    assert {"tatoeba-clean", "tatoeba-awb", "AN4 test"} <= set(sets)
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, row in sets.items():
        assert 0 < row["wer"] <= 100 and 0 < row["cer"] <= row["wer"]
        assert f"{row['wer']:.1f}" in card, name


@pytest.mark.parametrize("number", [0, 1])
def test_it_hears_people_and_a_synthesised_voice(number: int) -> None:
    """Three people, and three sentences of one voice, none of them in its training."""
    sound, text = recordings()[number]
    events = heard(sound, 3_200)
    assert word_error_rate([text], [" ".join(said(events))]) <= MOST_WRONG
    assert sum(isinstance(event, Segment) for event in events) == 3


def test_what_is_heard_is_written_with_capitals_and_full_stops() -> None:
    """English as far as one can hear it, French as it is printed."""
    events = [e for sound, _ in recordings()[:2] for e in heard(sound, 32_000)]
    source, target, stops = [], [], []
    for event in events:
        if isinstance(event, Source):
            source.append(event.text)
        elif isinstance(event, Target):
            target.append(event.text)
        elif isinstance(event, Segment):
            assert source[0][0].isupper() and not any(
                w[0].isupper() for w in source[1:] if w != "I"
            )
            assert target[0][0].isupper()
            stops.append(target[-1][-1] in ".?!")
            source, target = [], []
    assert sum(stops) >= len(stops) - 1 == 5


def test_words_come_while_the_speaker_goes_on() -> None:
    """Each source word within a second of its end, and French before the sentence is over."""
    sound, _ = recordings()[1]
    events = heard(sound, 3_200)
    assert all(e.at - (e.end or 0) < 1_000 for e in events if isinstance(e, Source))
    first = next(i for i, event in enumerate(events) if isinstance(event, Segment))
    early = [e for e in events[:first] if isinstance(e, Target)]
    last = [e for e in events[:first] if isinstance(e, Source)][-1]
    assert early and early[0].at < (last.begin or 0)


@pytest.mark.parametrize("piece", [333, 32_000])
def test_any_cutting_is_heard_alike(piece: int) -> None:
    sound, _ = recordings()[0]
    assert heard(sound, piece) == heard(sound, 3_200)


def test_silence_and_noise_say_nothing() -> None:
    """And no word over and over."""
    chance = np.random.default_rng(1)
    for sound in (np.zeros(160_000, np.float32), 0.05 * chance.standard_normal(160_000)):
        assert len(said(heard(pcm(sound.astype(np.float32)), 3_200))) <= 2
