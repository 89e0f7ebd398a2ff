"""A session that takes over writes the committed words first, and then what the lost one would have written."""

from __future__ import annotations

import functools

import fakes
import pytest
import torch

from streamtrans.engine.prefix import Prefix
from streamtrans.messages import Command, End, Flush, Segment, SetPolicy, Target, Text
from streamtrans.text.target import Detokenizer

POLICIES = ["wait-1", "wait-3", "wait-2:0.25", "full"]


shared = functools.cache(fakes.engine)


def said(policy: str, *commands: Command, prefix: tuple[str, ...] = ()) -> list[str]:
    engine = shared()
    events = fakes.speak(engine, engine.open(policy, prefix), *commands)
    return [event.text for event in events if isinstance(event, Target)]


@pytest.mark.parametrize("policy", POLICIES)
def test_from_any_word_on_the_rest_is_what_it_would_have_been(policy: str) -> None:
    tried = 0
    for seed in range(3):
        text = Text(" ".join(fakes.sentences(2, seed=seed)), 0.0)
        engine = shared()
        events = fakes.speak(engine, engine.open(policy), text, End())
        whole = [event.text for event in events if isinstance(event, Target)]
        first = next(event for event in events if isinstance(event, Segment))
        for cut in range(1, first.target_words + 1):
            assert said(policy, text, End(), prefix=tuple(whole[:cut])) == whole
            tried += 1
    assert tried > 5


@pytest.mark.parametrize("policy", POLICIES)
def test_words_the_model_would_not_write_hold(policy: str) -> None:
    """Another process may have another model, dtype or batch; what was committed stays committed."""
    prefix = ("garden", "Où\u202f?", "éπ\U0001f600x", "the", "l'eau;", "a")
    text = Text(" ".join(fakes.sentences(2, seed=6)), 0.0)
    words = said(policy, text, End(), prefix=prefix)
    assert tuple(words[: len(prefix)]) == prefix
    assert len(words) > len(prefix)


def test_a_longer_prefix_than_the_segment_can_account_for_is_written_whole() -> None:
    prefix = tuple("water light door bread".split() * 12)
    words = said(
        "wait-1", Text("the boat.", 0.0), Flush(), Text("a house.", 0.0), End(), prefix=prefix
    )
    assert tuple(words[: len(prefix)]) == prefix


def test_a_prefix_without_source_waits_and_is_forgotten_at_the_end() -> None:
    assert said("wait-2", End(), prefix=("the",)) == []


def test_the_policy_may_change_within_the_prefix() -> None:
    parts = (
        Text("the old boat sees ", 0.0),
        SetPolicy("wait-1"),
        Text("a green garden.", 0.0),
        End(),
    )
    whole = said("wait-3", *parts)
    for cut in range(1, len(whole)):
        assert said("wait-3", *parts, prefix=tuple(whole[:cut])) == whole


@pytest.mark.parametrize(
    "word", ["river", "naïve", "Où\u202f?", 'ça\u202f!"', "\U0001f600", "x" * 40]
)
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_scores_are_the_pieces_spell_the_word(word: str, seed: int) -> None:
    vocabulary = fakes.vocabulary()
    prefix = Prefix([word], vocabulary, "fr")
    detokenizer = Detokenizer(vocabulary, "fr")
    noise = torch.Generator().manual_seed(seed)
    written = None
    while written is None:
        scores = torch.randn(vocabulary.size, generator=noise)
        scores[:3] = -torch.inf
        written = detokenizer.feed(prefix.choose(scores, detokenizer.pieces, ended=True))
    if len(word) < 24:
        assert written == word
    assert prefix.take() == word and not prefix


def test_a_session_that_lags_changes_its_policy_ahead_of_what_waits() -> None:
    engine = fakes.engine()
    session = engine.open("full")
    engine.feed(session, Text("the old boat sees a green garden. ", 0.0))
    engine.adopt(session, "wait-1")
    events = fakes.run(engine)[session]
    changed = events[0]
    assert (changed.policy, changed.index, changed.lag) == ("wait-1", 0, True)
    first = next(event for event in events if isinstance(event, Target))
    assert first.read == 1
