"""Labels of frames become words with times, greedily: each word is committed with its last piece and never revised.

With each word go the states of its pieces, if there are any (`piece_states.py`). It knows labels, pieces and frames of
one stream. It does not know models, tensors or other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from streamtrans.models.piece_states import PieceStates, States
from streamtrans.models.recognizer import BLANK
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import WORD_PIECES, spelling, typography
from streamtrans.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class HeardWord:
    """begin, end: ms from the beginning of the stream; the frames of its first and last piece, which CTC may put
    anywhere within the word or a little behind it. states: (P, D), one a piece, if frames were fed with the labels.
    """

    text: str
    begin: int
    end: int
    states: States | None = field(default=None, compare=False, repr=False)


def heard_word(
    vocabulary: Vocabulary,
    config: SpeechEncoderConfig,
    language: str,
    pieces: Sequence[int],
    frames: Sequence[int],
    states: States | None = None,
) -> HeardWord | None:
    """The word that some pieces spell, each said in its frame. White space alone is none."""
    text = typography(spelling(vocabulary, pieces), language)
    begin, end = (config.ends(frames[i]) for i in (0, -1))
    return HeardWord(text, max(0, begin - config.frame), end, states) if text else None


class Words(Protocol):
    """One stream: what it hears becomes words, in order, each once and for all. Any cutting gives the same."""

    @property
    def open(self) -> str:
        """What is heard so far behind the words that were given."""

    def feed(self, labels: Sequence[Any], frames: States | None = None) -> list[HeardWord]:
        """The words that the next frames complete. labels: of each frame, as the search wants them."""

    def flush(self) -> list[HeardWord]:
        """What is left, when a segment ends. What is fed next begins anew."""


class CTCWords:
    """One stream. Its state: the last label, the pieces of the open word, the number of frames; any cutting of the
    labels gives the same words. A word of more than text.target.WORD_PIECES pieces is cut there.
    """

    def __init__(self, vocabulary: Vocabulary, config: SpeechEncoderConfig, language: str) -> None:
        self._vocabulary = vocabulary
        self._spell = partial(heard_word, vocabulary, config, language)
        self._pieces: list[int] = []
        self._said: list[int] = []  # the frame of each
        self._last = BLANK
        self._frames = 0
        self._states = PieceStates()

    @property
    def open(self) -> str:
        """The word that is not whole yet, as far as it was heard; it may still grow, and only grow."""
        return self._vocabulary.decode(self._pieces)

    def feed(self, labels: Sequence[int], frames: States | None = None) -> list[HeardWord]:
        """The words that the labels of the next frames complete. frames: (T, D + 1), of `piece_states.evidence`.

        Repeated labels are one and blanks are none (Graves et al. 2006, section 3.1: the map B).
        """
        words = []
        for i, label in enumerate(labels):
            if frames is not None:
                self._states.add(frames[i])
            if label != self._last and label != BLANK:
                words += self._add(label)
            self._last = label
            self._frames += 1
        return words

    def flush(self) -> list[HeardWord]:
        """The open word, when a segment ends: a list of one or none. What is fed next begins a new word."""
        self._last = BLANK
        self._states.forget()
        return self._take()

    def _add(self, piece: int) -> list[HeardWord]:
        self._pieces.append(piece)
        self._said.append(self._frames)
        self._states.close()
        whole = self._vocabulary.ends_word[piece] or len(self._pieces) >= WORD_PIECES
        return self._take() if whole else []

    def _take(self) -> list[HeardWord]:
        pieces, said, states = self._pieces, self._said, self._states.take()
        self._pieces, self._said = [], []
        word = self._spell(pieces, said, states) if pieces else None
        return [word] if word else []
