"""Cutting the output for a recording: no other cut has fewer edits."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import edit_distance

from streamtrans.evaluation.resegment import cut

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


def edits(words: list[str], references: list[list[str]], ends: list[int]) -> int:
    """Between the parts and their references."""
    begins = [0, *ends[:-1]]
    parts = [words[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return sum(edit_distance(p, r) for p, r in zip(parts, references, strict=True))


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_no_other_cut_has_fewer_edits(words: list[str], references: list[list[str]]) -> None:
    """All cuts tried; and as many edits as between the wholes."""
    ends = cut(words, references)
    assert ends == sorted(ends) and len(ends) == len(references) and ends[-1] == len(words)
    inner = combinations_with_replacement(range(len(words) + 1), len(references) - 1)
    least = min(edits(words, references, [*some, len(words)]) for some in inner)
    assert edits(words, references, ends) == least
    assert least == edit_distance(words, [word for r in references for word in r])


@pytest.mark.parametrize(
    ("words", "references", "ends"),
    [
        ("Bonjour, Madame. il pleut", ["bonjour madame", "Il pleut !"], [2, 4]),
        ("le chat euh dort", ["le chat", "dort"], [3, 4]),  # a superfluous word: the one before
        ("dort", ["le chat", "dort"], [0, 1]),  # nothing was written for the first
        ("le chat", ["le chat", "dort"], [2, 2]),
        ("", ["a", "b"], [0, 0]),
    ],
)
def test_by_hand(words: str, references: list[str], ends: list[int]) -> None:
    assert cut(words.split(), [r.split() for r in references]) == ends


def test_no_reference_leaves_nothing_to_cut() -> None:
    assert cut([], []) == []


def test_an_hour_of_speech_is_cut_where_its_sentences_end() -> None:
    """9,000 words with one in ten wrong; every boundary within two words of its place."""
    words = [f"w{i * i % 997}" for i in range(9000)]
    heard = ["x" if i % 10 == 3 else word for i, word in enumerate(words)]
    ends = cut(heard, [words[i : i + 15] for i in range(0, 9000, 15)])
    assert all(abs(end - 15 * (i + 1)) <= 2 for i, end in enumerate(ends))
