"""Error rates worked out by hand."""

from __future__ import annotations

import pytest

from streamtrans.evaluation.recognition import character_error_rate, word_error_rate


@pytest.mark.parametrize(
    ("references", "hypotheses", "words", "characters"),
    [
        (["the old house"], ["the old house"], 0, 0),
        (["the old house"], ["  the  old house "], 0, 0),
        (["the old house"], [""], 1, 1),
        (["the old house"], ["the cold house"], 1 / 3, 1 / 13),  # one substituted; c inserted
        (["a b c d"], ["b c d e"], 2 / 4, 4 / 7),  # a deleted, e inserted, with a space each
        (["yes", "it is so now"], ["no no", "it is so now"], 2 / 5, 5 / 15),
        (["yes"], ["no no no"], 3, 8 / 3),
    ],
)
def test_rates(
    references: list[str], hypotheses: list[str], words: float, characters: float
) -> None:
    assert word_error_rate(references, hypotheses) == pytest.approx(words)
    assert character_error_rate(references, hypotheses) == pytest.approx(characters)


def test_a_set_is_not_the_mean_of_its_sentences() -> None:
    assert word_error_rate(["a", "b c d"], ["x", "b c d"]) == pytest.approx(1 / 4)


def test_what_has_no_rate_is_said() -> None:
    with pytest.raises(ValueError, match="no error rate"):
        word_error_rate([" "], ["a"])
    with pytest.raises(ValueError, match="zip"):
        word_error_rate(["a", "b"], ["a"])
