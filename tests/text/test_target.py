"""Pieces become words, and French words their spaces."""

from __future__ import annotations

import pytest
from fakes import sentences, vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtrans.text.target import WORD_PIECES, Detokenizer, typography

TOY = vocabulary()
THIN = "\u202f"  # narrow no-break space


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("Vraiment?", f"Vraiment{THIN}?"),
        ("Non!", f"Non{THIN}!"),
        ("quoi?!", f"quoi{THIN}?!"),
        ("ainsi:", f"ainsi{THIN}:"),
        ("été;", f"été{THIN};"),
        ('oui!"', f'oui{THIN}!"'),
        ('"oui"?', f'"oui"{THIN}?'),
        ("2024?", f"2024{THIN}?"),
        ("(sic)!", f"(sic){THIN}!"),
        ("50%?", f"50%{THIN}?"),
        ("quoi...?", f"quoi...{THIN}?"),
        ("12:30", "12:30"),
        ("https://a.fr", "https://a.fr"),
        ("fin.", "fin."),
        ("?", "?"),
        (":)", ":)"),
        ("", ""),
    ],
)
def test_french_sets_a_space_before_high_signs(word: str, shown: str) -> None:
    """`2024?` and `"oui"?` were left as in English: only a letter before a sign counted."""
    assert typography(word, "fr") == shown
    assert typography(word, "en") == word


def feed(pieces: list[int], language: str = "en") -> list[str]:
    detokenizer = Detokenizer(TOY, language)
    words = [word for piece in pieces if (word := detokenizer.feed(piece)) is not None]
    last = detokenizer.flush()
    return words + [last] if last else words


def test_words_come_whole_and_once() -> None:
    for line in sentences(10, seed=5):
        assert feed(TOY.encode(line)) == line.split()


def test_a_word_carries_no_white_space_and_no_control_signs() -> None:
    """Single bytes can spell anything; a line feed in a word would have broken "a line in is a line out"."""
    a, b = (next(i for i in range(4, 260) if TOY.decode([i]) == letter) for letter in "ab")
    for byte in (0x0A, 0x0B, 0x1B, 0x20, 0x00):
        assert feed([a, 4 + byte, b]) == ["ab"]
    assert feed([a, 4 + 0xC2, 4 + 0xA0, b]) == ["ab"]


def test_a_word_comes_with_its_last_piece() -> None:
    detokenizer = Detokenizer(TOY, "en")
    pieces = TOY.encode("zebra")
    assert len(pieces) > 1
    assert [detokenizer.feed(p) for p in pieces] == [None] * (len(pieces) - 1) + ["zebra"]


def test_signs_unknown_to_training_come_whole() -> None:
    """A sign of several bytes must not be shown byte by byte."""
    assert feed(TOY.encode("le 中文 🙂!"), "fr") == ["le", "中文", "🙂!"]


def test_an_empty_word_is_no_word() -> None:
    lone = TOY._pieces.piece_to_id("\u2581")
    assert TOY.ends_word[lone]
    assert Detokenizer(TOY, "fr").feed(lone) is None
    assert Detokenizer(TOY, "fr").flush() is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(4, TOY.size - 1), max_size=120))
def test_any_pieces_a_model_may_write(pieces: list[int]) -> None:
    """A model may never end a word: what waits is bounded, and no word is empty or has space."""
    detokenizer = Detokenizer(TOY, "en")
    for piece in pieces:
        word = detokenizer.feed(piece)
        assert word is None or word.strip() == word != ""
        assert len(detokenizer.pieces) < WORD_PIECES
