"""The embedded Chinese model, once it is there: the sentence that began this project, live."""

from __future__ import annotations

import functools

import pytest

import streamtrans
from streamtrans import pretrained
from streamtrans.messages import Event, Target

MODELS = [name for name in pretrained.names() if name == "zh-en"]


@functools.cache
def translator(name: str) -> streamtrans.Translator:
    return streamtrans.load(name, "cpu", "float32", max_sessions=1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy", ["wait-3", "full"])
@pytest.mark.parametrize("source", ["今天天气很好。", "今天天气很好"])
def test_golden_sentence(name: str, policy: str, source: str) -> None:
    """As text is typed and as speech is recognised; under wait-3 the first words come while it goes on."""
    events: list[Event] = []
    with translator(name).open(policy) as session:
        for character in source:
            events += session.feed(character)
        early = [event.text for event in events if isinstance(event, Target)]
        events += session.end()
    words = [event.text for event in events if isinstance(event, Target)]
    assert " ".join(words).rstrip(".") == "The weather is nice today"
    assert early[:2] == (["The", "weather"] if policy == "wait-3" else [])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("source", "translation"),
    [("我是学生。", "I am a student."), ("很高兴认识你。", "Nice to meet you.")],
)
def test_everyday_sentences(name: str, source: str, translation: str) -> None:
    with translator(name).open("full") as session:
        events = session.feed(source) + session.end()
    assert " ".join(e.text for e in events if isinstance(e, Target)) == translation
