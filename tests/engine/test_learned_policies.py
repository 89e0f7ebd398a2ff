"""Learned policies through the engine: their bounds, changes of policy, alone as together, named errors."""

from __future__ import annotations

import random

import fakes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import target_words, together
from torch import Tensor

from streamtrans.engine import Engine, SessionError
from streamtrans.messages import Changed, Done, End, Error, Event, Mark, SetPolicy, Source, Text
from streamtrans.models.model import Model
from streamtrans.nn.monotonic_attention import MonotonicAttention
from streamtrans.policy import PolicyError

TEXT = "the old house sees a small boat and the river near a quiet garden today."


class WholeWords(fakes.ToyModel):
    """Writes words of one piece, and never the end: a segment then ends when its target gets too long."""

    def logits(self, x: Tensor) -> Tensor:
        scores = super().logits(x)
        words = fakes.vocabulary()
        whole = [e and words.decode([i]).isalpha() for i, e in enumerate(words.ends_word)]
        return scores.masked_fill(~torch.tensor(whole), -torch.inf)


def adaptive(seed: int, scale: float = 1.0) -> Engine:
    """The weights of the policy head are random; scaled, its mind is made up one way or the other."""
    model = fakes.system("adaptive", seed, WholeWords)
    assert model.head is not None
    model.head.out.weight *= scale
    return Engine(model, fakes.vocabulary(), 16, 8)


def monotonic(system: str, bias: float = 0.0, seed: int = 0) -> Engine:
    model = fakes.system(system, seed, WholeWords)
    for module in model.modules():
        if isinstance(module, MonotonicAttention):
            torch.nn.init.constant_(module.bias, bias)
    return Engine(model, fakes.vocabulary(), 16, 8)


def said(engine: Engine, policy: str | None, text: str = TEXT) -> list[Event]:
    return fakes.speak(engine, engine.open(policy), Text(text), End())


def reads(events: list[Event]) -> list[int]:
    return [read for _, read in target_words(events)]


def test_each_word_lies_between_its_bounds() -> None:
    length, between = len(TEXT.split()), 0
    for seed in range(5):
        engine = adaptive(seed, scale=30)
        lowest, highest = (reads(said(engine, f"wait-{k}")) for k in (1, 5))
        found = reads(said(engine, "adaptive-1-5:0.5"))
        for w, read in enumerate(found[: length + 1]):
            assert min(w + 1, length) <= read <= min(w + 5, length)
            assert lowest[w] <= read <= highest[w]
            between += lowest[w] < read < highest[w]
    assert between > 10  # the head has a say


@pytest.mark.parametrize(
    ("policy", "same"),
    [
        ("adaptive-3-3", "wait-3"),
        ("adaptive-2-5:0", "wait-2"),
        ("adaptive-2-5:1", "wait-5"),
        ("adaptive-99-99", "full"),
    ],
)
def test_the_bounds_of_the_bounds_are_wait_k(policy: str, same: str) -> None:
    """Words and READs alike: refused WRITEs leave no trace."""
    for seed in range(2):
        engine = adaptive(seed)
        assert target_words(said(engine, policy)) == target_words(said(engine, same))


def test_a_confidence_that_is_no_number_waits_to_the_upper_bound() -> None:
    engine = adaptive(0)
    engine._model.head.out.bias.fill_(torch.nan)  # type: ignore[union-attr]
    assert target_words(said(engine, "adaptive-1-4")) == target_words(said(engine, "wait-4"))
    assert set(reads(said(engine, "monotonic"))) == {len(TEXT.split())}


def test_the_policy_changes_in_the_middle_and_back() -> None:
    """From the change on the new policy holds, and what a refused WRITE left behind is forgotten."""
    engine = adaptive(1)
    words = TEXT.split()
    session = engine.open("wait-2")
    events = fakes.speak(engine, session, Text(" ".join(words[:5]) + " "))
    assert reads(events) == [2, 3, 4, 5]
    events = fakes.speak(engine, session, SetPolicy("adaptive-3-6:1"), Mark("x"))
    assert [type(e).__name__ for e in events] == ["Changed", "Marked"]
    events = fakes.speak(engine, session, Text(" ".join(words[5:11]) + " "))
    assert reads(events) == [10, 11]  # w + 6 for w = 4, 5
    events = fakes.speak(engine, session, SetPolicy("wait-3"))
    assert isinstance(events[0], Changed) and events[0].policy == "wait-3"
    assert reads(events) == [11, 11, 11]  # up to w = 8
    assert isinstance(fakes.speak(engine, session, End())[-1], Done)


def test_a_refused_write_is_asked_again_under_a_new_policy() -> None:
    """The session waited for more source, its head unsure; a policy that needs no more must not wait with it."""
    engine = adaptive(0)
    session = engine.open("adaptive-1-9:1")
    assert reads(fakes.speak(engine, session, Text("the old house "))) == []
    assert reads(fakes.speak(engine, session, SetPolicy("adaptive-1-9:0"))) == [3, 3, 3]


LEARNED = {
    "adaptive": ["adaptive-1-4", "adaptive-2-3:0.3", "monotonic", "wait-2", "full"],
    "mma-il": ["monotonic", "adaptive-1-4", "wait-2", "full"],
    "mocha": ["monotonic", "adaptive-2-5", "wait-1"],
}


@pytest.mark.parametrize("system", LEARNED)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 6))
def test_together_gives_the_very_tokens_that_alone_gives(
    system: str, seed: int, batch: int
) -> None:
    rng = random.Random(seed)
    model = fakes.system(system)
    texts = [" ".join(fakes.sentences(rng.randint(1, 2), seed % 20 + i, 7)) for i in range(5)]
    policies = [rng.choice(LEARNED[system]) for _ in texts]
    events = together(Engine(model, fakes.vocabulary(), 16, batch), texts, policies, rng)
    engine = Engine(model, fakes.vocabulary(), 1, 1)
    for heard, text, policy in zip(events, texts, policies, strict=True):
        assert heard == said(engine, policy, text)


def looped(model: Model, words: list[list[int]]) -> list[tuple[str, int]]:
    """READ until all heads have stopped, write, and again, on the model alone: words, each with how many were READ."""
    vocabulary = fakes.vocabulary()
    left, state, previous = [*words, [vocabulary.eos]], model.init_state(1), vocabulary.bos
    found: list[tuple[str, int]] = []
    while True:
        read = len(words) + 1 - len(left)
        full = len(found) >= 1.5 * sum(map(len, words[:read])) + 8
        if full and not left:
            return found
        if read and not full:
            logits, stopped, after = model.write(torch.tensor([previous]), state)
            assert stopped is not None and float(stopped) in (0, 1)
            if stopped or not left:
                state, previous = after, int(logits.argmax())
                found.append((vocabulary.decode([previous]), min(read, len(words))))
                continue
        state = model.read(torch.tensor([left.pop(0)]), state)


@pytest.mark.parametrize("system", fakes.MONOTONIC)
def test_the_engine_writes_what_the_model_alone_writes(system: str) -> None:
    read_early, bias = 0, 0.5 if system.startswith("mma") else -0.2  # all of 8 heads, or one
    for seed in range(3):
        engine = monotonic(system, bias, seed)
        expected = looped(engine._model, [engine.vocabulary.encode(w) for w in TEXT.split()])
        events = said(engine, None)
        assert target_words(events) == expected and isinstance(events[-1], Done)
        read_early += sum(read < len(TEXT.split()) for _, read in expected)
    assert read_early > 10  # it did not just read to the end


@pytest.mark.parametrize("system", fakes.MONOTONIC)
def test_heads_that_never_stop_read_to_the_end_and_translate(system: str) -> None:
    engine = monotonic(system, bias=-1e9)
    session = engine.open()
    assert session.policy.name == "monotonic"
    events = fakes.speak(engine, session, Text(TEXT[:-1] + " "))
    assert len([e for e in events if isinstance(e, Source)]) == 15 and not reads(events)
    events = fakes.speak(engine, session, End())
    assert set(reads(events)) == {15} and isinstance(events[-1], Done)
    assert not any(isinstance(e, Error) for e in events)


@pytest.mark.parametrize("system", fakes.MONOTONIC)
def test_heads_that_always_stop_end_as_well(system: str) -> None:
    """They would write for ever: no more than the source can account for, then another word is READ."""
    engine = monotonic(system, bias=1e9)
    session = engine.open()
    engine.feed(session, Text("the old house "))
    events = fakes.run(engine, ticks=500).get(session, [])
    assert {1} <= set(reads(events)) <= {1, 2, 3}
    assert not any(isinstance(e, Error) for e in events)
    engine.feed(session, End())
    assert isinstance(fakes.run(engine, ticks=500)[session][-1], Done)


def test_a_learned_policy_needs_a_model_that_decides() -> None:
    engine = fakes.engine()
    for policy in ("monotonic", "adaptive-1-5:0.7"):
        with pytest.raises(PolicyError, match=f"{policy}: this model has not learned when"):
            engine.open(policy)
        session = engine.open("wait-1")
        with pytest.raises(PolicyError, match="has not learned when"):
            engine.feed(session, SetPolicy(policy))
        events = fakes.speak(engine, session, Text("a boat."), End())
        assert events == said(engine, "wait-1", "a boat.")
    assert engine.sessions == 0


@pytest.mark.parametrize("system", fakes.OFFLINE)
def test_an_offline_model_is_refused_by_name(system: str) -> None:
    engine = Engine(fakes.system(system), fakes.vocabulary(), 2, 2)
    for policy in (None, "full", "wait-3", "monotonic"):
        with pytest.raises(SessionError, match="whole sentences") as error:
            engine.open(policy)
        assert error.value.code == "offline_model"
    assert engine.sessions == 0
