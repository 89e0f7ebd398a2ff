"""What the engine counts in words, the model sees in pieces, and both must agree."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from fakes import WORDS, sentences, vocabulary
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamtrans.text.normalize import normalize
from streamtrans.text.vocabulary import MARK, Vocabulary, VocabularyError

TOY = vocabulary()


def visible(sign: str) -> bool:
    """Not white space, and not one of the few signs that Unicode itself spells with white space,
    such as a cedilla that stands alone: sentencepiece makes two words of a word with one inside.
    """
    spelt = unicodedata.normalize("NFKC", sign)
    return not any(c.isspace() for c in sign + spelt) and sign not in "῀�"


SIGNS = st.characters(exclude_categories=["Cs", "Cn"]).filter(visible)
WORD = st.one_of(st.sampled_from(WORDS), st.text(SIGNS, min_size=1, max_size=8))


def ends(pieces: list[int]) -> list[bool]:
    return [TOY.ends_word[piece] for piece in pieces]


@settings(max_examples=300, deadline=None)
@given(st.lists(WORD, max_size=6))
@example(["the", "don´t", "a\u200bb", "a▁b", "\ufeffx", "no\u2011break", "‘quoted’"])
def test_a_line_is_its_words(words: list[str]) -> None:
    """Training encodes lines, a session encodes words as they come: the pieces must be the same."""
    line = TOY.encode(" ".join(words))
    assert line == [piece for word in words for piece in TOY.encode(word)]
    assert TOY.encode_lines([" ".join(words)]) == [line]


@settings(max_examples=300, deadline=None)
@given(WORD)
@example("don´t")
@example("a\u200bb")
@example("a▁b")
@example("35")
@example("中文🙂")
def test_a_word_ends_with_its_last_piece_and_not_before(word: str) -> None:
    """`don´t` typed with an acute accent was two words to the model and one READ to the policy, and
    so were words with a zero-width space from a web page.
    """
    pieces = TOY.encode(word)
    assert ends(pieces) == [False] * (len(pieces) - 1) + [True] * bool(pieces)


@settings(max_examples=300, deadline=None)
@given(WORD)
@example("中文翻译🙂👩‍🚀")
@example("Ελληνικά")
def test_what_was_encoded_decodes(word: str) -> None:
    """Signs that training never saw are spelt in bytes and come back whole."""
    spelt = unicodedata.normalize("NFKC", normalize(word))
    decoded = TOY.decode(TOY.encode(word))
    assert unicodedata.normalize("NFKC", decoded) == unicodedata.normalize("NFKC", spelt)


def test_lines_of_its_own_language_decode_and_need_few_pieces() -> None:
    for line in sentences(20, seed=9):
        pieces = TOY.encode(line)
        assert TOY.decode(pieces) == line
        assert len(pieces) < len(line)


def test_the_special_pieces_have_their_numbers() -> None:
    names = [TOY._pieces.id_to_piece(i) for i in range(4)]
    assert names == ["<pad>", "<unk>", "<s>", "</s>"]
    assert (TOY.pad, TOY.unk, TOY.bos, TOY.eos) == (0, 1, 2, 3)
    assert not any(TOY.ends_word[:4])
    assert len(TOY.ends_word) == TOY.size


def test_text_cannot_spell_a_special_piece() -> None:
    """`</s>` typed by a user must not end the sentence in the model."""
    assert not {TOY.pad, TOY.unk, TOY.bos, TOY.eos} & set(TOY.encode("</s> <s> <pad> <unk> \ue000"))


def test_empty_text_has_no_pieces() -> None:
    assert TOY.encode("") == TOY.encode(" \n") == TOY.encode("\u200b\x07") == []
    assert TOY.decode([]) == ""


def test_a_word_is_not_split_across_its_mark() -> None:
    """The mark is a suffix: a piece that carries it in front or within would join two words."""
    for i in range(TOY.size):
        assert MARK not in TOY._pieces.id_to_piece(i)[:-1]


def test_a_vocabulary_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.model"
    made = Vocabulary.train(sentences(300, seed=3), 320, path)
    assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.model"]
    read = Vocabulary.load(path)
    assert read.model == made.model and read.size == 320
    line = sentences(1, seed=4)[0]
    assert read.encode(line) == made.encode(line)


@pytest.mark.parametrize("damage", [b"", b"rubbish", TOY.model[:100]])
def test_a_damaged_file_is_a_named_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "vocabulary.model").write_bytes(damage)
    with pytest.raises(VocabularyError, match="no sentencepiece model"):
        Vocabulary.load(tmp_path / "vocabulary.model")
    with pytest.raises(OSError):
        Vocabulary.load(tmp_path / "none.model")


@pytest.mark.parametrize(("english", "size"), [(True, 330), (False, 60)])
def test_a_chinese_character_is_one_piece_with_its_mark(
    english: bool, size: int, tmp_path: Path
) -> None:
    """sentencepiece keeps every single sign and gave half of the pieces to characters without a mark, never written."""
    lines = ["今 天 天 气 很 好", "我 很 好", "龘"] + (["the weather is nice."] * 5) * english
    vocabulary = Vocabulary.train(lines, size, tmp_path / "zh.model", byte_fallback=english)
    (tmp_path / "zh.model").unlink()
    han = [vocabulary._pieces.id_to_piece(i) for i in range(vocabulary.size)]
    han = [piece for piece in han if piece[0] >= "\u4e00"]
    assert sorted(han) == sorted(character + MARK for character in set("今天气很好我龘"))
    pieces = vocabulary.encode("今 天 龘 好")
    assert len(pieces) == 4 and all(vocabulary.ends_word[piece] for piece in pieces)
    assert vocabulary.decode(pieces) == "今 天 龘 好"
    assert pieces == [vocabulary.encode(character)[0] for character in "今天龘好"]
    assert vocabulary.size <= size
