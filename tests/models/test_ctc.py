"""Labels become words: against a plain function for the whole, in any cutting, with times worked out by hand."""

from __future__ import annotations

from itertools import groupby

from fakes import WORDS
from fakes import spoken_vocabulary as vocabulary
from hypothesis import given
from hypothesis import strategies as st

from streamtrans.models.ctc import CTCWords, HeardWord
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import WORD_PIECES

CONFIG = SpeechEncoderConfig(subsampling=8, ahead=2, chunk=4)  # 80 ms frames, two states late


LABELS = st.lists(st.sampled_from([0, 0, *range(4, 60)]), max_size=60)


def plainly(labels: list[int]) -> list[str]:
    """The words of a whole stream: runs are one label, blanks go, words end where their piece says so."""
    pieces = [label for label, _ in groupby(labels) if label]
    words: list[list[int]] = [[]]
    for piece in pieces:
        words[-1].append(piece)
        if vocabulary().ends_word[piece] or len(words[-1]) == WORD_PIECES:
            words.append([])
    texts = ["".join(vocabulary().decode(word).split()) for word in words]
    return [text for text in texts if text]


def heard(words: CTCWords, *pieces: list[int]) -> list[HeardWord]:
    return [word for piece in pieces for word in words.feed(piece)]


def test_the_vocabulary_has_no_bytes_and_ends_words() -> None:
    assert vocabulary().size == 60 and sum(vocabulary().ends_word) > 20


@given(LABELS)
def test_words_are_those_of_the_plain_function(labels: list[int]) -> None:
    words = CTCWords(vocabulary(), CONFIG, "en")
    assert [w.text for w in heard(words, labels) + words.flush()] == plainly(labels)


@given(LABELS, st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_any_cutting_gives_the_same_words_and_times(labels: list[int], sizes: list[int]) -> None:
    whole, cut = (CTCWords(vocabulary(), CONFIG, "en") for _ in range(2))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(labels[at : at + size])
        at += size
    assert heard(cut, *pieces) == heard(whole, labels)
    assert cut.open == whole.open and cut.flush() == whole.flush()


@given(LABELS)
def test_times_never_fall_and_words_do_not_overlap(labels: list[int]) -> None:
    words = heard(CTCWords(vocabulary(), CONFIG, "en"), labels)
    assert all(0 <= w.begin <= w.end <= 80 * len(labels) for w in words)
    assert all(a.end <= b.begin or b.begin == 0 for a, b in zip(words, words[1:], strict=False))


def test_times_are_those_of_the_first_and_the_last_piece() -> None:
    """State t of an encoder that runs two states late stands for the 80 ms that end at 80 (t - 1)."""
    first, *rest = vocabulary().encode("os" + WORDS[0])
    words = CTCWords(vocabulary(), CONFIG, "en")
    labels = [0] * 5 + [first, first, 0] + [label for piece in rest for label in (piece, 0)]
    last = len(labels) - 2
    assert heard(words, labels) == [HeardWord("os" + WORDS[0], 80 * 3, 80 * (last - 1))]


def test_the_same_piece_twice_needs_a_blank_between() -> None:
    (piece,) = vocabulary().encode("the")
    words = CTCWords(vocabulary(), CONFIG, "en")
    assert [w.text for w in words.feed([piece, piece, 0, piece])] == ["the", "the"]
    assert not words.feed([piece])  # the run goes on in the next step
    assert [w.text for w in words.feed([0, piece])] == ["the"]


def test_the_open_word_grows_until_a_segment_ends() -> None:
    pieces = vocabulary().encode("osthe")[:-1]
    words = CTCWords(vocabulary(), CONFIG, "en")
    seen = []
    for piece in pieces:
        assert not words.feed([piece, 0])
        seen.append(words.open)
    assert all(b.startswith(a) and b != a for a, b in zip(["", *seen], seen, strict=False))
    (word,) = words.flush()
    assert word.text == seen[-1] and not words.open and not words.flush()


def test_a_word_without_end_is_cut() -> None:
    """A hum that is heard as one letter for ever must not be a state that grows for ever."""
    piece = next(p for p in vocabulary().encode("os") if not vocabulary().ends_word[p])
    words = CTCWords(vocabulary(), CONFIG, "en")
    text = vocabulary().decode([piece])
    heard_words = words.feed([piece, 0] * (2 * WORD_PIECES + 1))
    assert [w.text for w in heard_words] == [text * WORD_PIECES] * 2
    assert words.open == text
