"""Labels of frames become words with times, greedily: each word is committed with its last piece and never revised.

With each word go the states of its pieces, if there are any (`piece_states.py`). It knows labels, pieces and frames of
one stream. It does not know models, tensors or other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamtrans.models.piece_states import PieceStates, States
from streamtrans.models.recognizer import BLANK
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import Detokenizer
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


class CTCWords:
    """One stream. Its state: the last label, the pieces of the open word, the number of frames; any cutting of the
    labels gives the same words. A word of more than text.target.WORD_PIECES pieces is cut there.
    """

    def __init__(self, vocabulary: Vocabulary, config: SpeechEncoderConfig, language: str) -> None:
        self._open = Detokenizer(vocabulary, language)
        self._config = config
        self._last = BLANK
        self._frames = 0
        self._begin = self._end = 0
        self._states = PieceStates()

    @property
    def open(self) -> str:
        """The word that is not whole yet, as far as it was heard; it may still grow, and only grow."""
        return self._open.vocabulary.decode(self._open.pieces)

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
        text = self._open.flush()
        self._last = BLANK
        self._states.forget()
        return self._words(text)

    def _add(self, piece: int) -> list[HeardWord]:
        self._end = self._config.ends(self._frames)
        if not self._open.pieces:
            self._begin = max(0, self._end - self._config.frame)
        text = self._open.feed(piece)
        self._states.close()
        return [] if self._open.pieces else self._words(text)

    def _words(self, text: str | None) -> list[HeardWord]:
        """White space alone is no word; what was heard of it is forgotten."""
        states = self._states.take()
        return [HeardWord(text, self._begin, self._end, states)] if text else []
