"""The embedded models of Chinese: the sentence that began this project, live, typed and spoken."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import soundfile

import streamtrans
from streamtrans import demo, pretrained
from streamtrans.evaluation.recognition import character_error_rate
from streamtrans.messages import Event, Segment, Source, Target
from streamtrans.models.checkpoint import load_recognizer

PAUSE, QUIET = (
    12_000,
    300,
)  # samples between two sentences of the recording; how loud they are at most
MOST_BYTES = 30_000_000
MOST_WRONG = 0.15  # characters of the recording of the demo


@functools.cache
def translator() -> streamtrans.Translator:
    return streamtrans.load("zh-en", "cpu", "float32", max_sessions=1)


@pytest.mark.parametrize("policy", ["wait-3", "full"])
@pytest.mark.parametrize("source", ["今天天气很好。", "今天天气很好"])
def test_golden_sentence(policy: str, source: str) -> None:
    """As text is typed and as speech is recognised; under wait-3 the first words come while it goes on."""
    events: list[Event] = []
    with translator().open(policy) as session:
        for character in source:
            events += session.feed(character)
        early = [event.text for event in events if isinstance(event, Target)]
        events += session.end()
    words = [event.text for event in events if isinstance(event, Target)]
    assert " ".join(words).rstrip(".") == "The weather is nice today"
    assert early[:2] == (["The", "weather"] if policy == "wait-3" else [])


@pytest.mark.parametrize(
    ("source", "translation"),
    [("我是学生。", "I am a student."), ("很高兴认识你。", "Nice to meet you.")],
)
def test_everyday_sentences(source: str, translation: str) -> None:
    with translator().open("full") as session:
        events = session.feed(source) + session.end()
    assert " ".join(e.text for e in events if isinstance(e, Target)) == translation


def spoken() -> bytes:
    """16-bit samples of 16 kHz: three sentences in a voice that no training heard."""
    (row,) = demo.recordings("zh")
    assert row["text"].startswith("今天天气很好。")
    samples, rate = soundfile.read(demo.RECORDINGS / row["path"], dtype="int16")
    assert rate == 16_000
    data: bytes = samples.astype("<i2").tobytes()
    return data


def test_the_golden_sentence_spoken() -> None:
    """The first words are committed before the speaker has ended, and no word comes back."""
    sound = spoken()
    loud = np.flatnonzero(np.abs(np.frombuffer(sound, "<i2").astype(int)) > QUIET)
    end = 2 * int(loud[np.flatnonzero(np.diff(loud) > PAUSE)[0]])  # of the first sentence
    assert end < len(sound) / 2
    events: list[Event] = []
    with translator().open("wait-3", rate=16_000) as session:
        for at in range(0, end, 3_200):
            events += session.feed_audio(sound[at : min(at + 3_200, end)])
        early = [event.text for event in events if isinstance(event, Target)]
        events += session.end()
    assert "".join(e.text for e in events if isinstance(e, Source)) == "今天天气很好"
    words = [event.text for event in events if isinstance(event, Target)]
    assert " ".join(words).rstrip(".") == "The weather is nice today"
    assert early[:2] == ["The", "weather"]


@pytest.mark.parametrize("piece", [3_200, 1_001])
def test_sentences_spoken(piece: int) -> None:
    sound = spoken()
    with translator().open("full", rate=16_000) as session:
        events: list[Event] = []
        for at in range(0, len(sound), piece):
            events += session.feed_audio(sound[at : at + piece])
        events += session.end()
    assert sum(isinstance(event, Segment) for event in events) == 3
    heard = [" ".join(e.text for e in events if isinstance(e, Source))]
    assert character_error_rate([" ".join("今天天气很好很高兴认识你我是学生")], heard) <= MOST_WRONG
    said = " ".join(e.text for e in events if isinstance(e, Target))
    assert said.startswith("The weather is nice today. ") and said.endswith(" I am a student.")


def test_the_recogniser_is_shipped_whole_small_and_with_its_card() -> None:
    folder = pretrained.find_recognizer("auto", "zh")
    assert folder is not None
    files = {p.name: p.stat().st_size for p in folder.iterdir()}
    assert {"model.safetensors", "language-model.safetensors", "README.md"} < set(files)
    assert sum(files.values()) <= MOST_BYTES
    recognizer, _ = load_recognizer(folder)
    assert recognizer.config.language == "zh" and recognizer.language_model is not None
    card = (folder / "README.md").read_text(encoding="utf-8")
    for row in json.loads((folder / "scores.json").read_text()):
        assert 0 < row["cer"] < 100 and f"{row['cer']:.1f}" in card, row["set"]
