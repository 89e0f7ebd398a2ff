"""Normalized erasure counts what is taken back, in displays and in the events of a session."""

from __future__ import annotations

import pytest

from streamtrans.evaluation.erasure import erased, normalized_erasure
from streamtrans.evaluation.simulate import SimulationError, Translation
from streamtrans.messages import Event, Source, Target


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ("", "a", 0),
        ("a b", "a b c", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a x c d", 2),  # c comes again, but was gone
        ("a b c", "a", 2),
        ("a b", "x a b", 2),
    ],
)
def test_words_beyond_the_common_prefix_are_erased(before: str, after: str, count: int) -> None:
    assert erased(before.split(), after.split()) == count


def test_normalized() -> None:
    assert normalized_erasure(3, 6) == 0.5
    assert normalized_erasure(0, 6) == 0
    assert normalized_erasure(0, 0) is None


def taken(*words: tuple[int, str]) -> Translation:
    """A translation from Target events of these indices and texts, each after one source word."""
    translation = Translation()
    events: list[Event] = [Source(1, "source", 0, 0.0)]
    events += [Target(n + 2, text, index, 1, 0.0) for n, (index, text) in enumerate(words)]
    for event in events:
        translation.take(event)
    return translation


def test_a_session_that_revises_is_found_out() -> None:
    revised = taken((0, "un"), (1, "chat"), (2, "noir"), (1, "chien"), (2, "noir"))
    assert (revised.target, revised.erased) == (["un", "chien", "noir"], 2)
    assert revised.delays == [1, 1, 1]
    assert taken((0, "un"), (1, "chat")).erased == 0


def test_a_word_that_is_missing_is_named() -> None:
    with pytest.raises(SimulationError, match="target word 1 is missing"):
        taken((0, "un"), (2, "noir"))
