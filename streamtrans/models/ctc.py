"""Labels of frames become words with times, greedily: each word is committed with its last piece and never revised.

It knows labels, pieces and frames of one stream. It does not know models, tensors or other streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamtrans.models.recognizer import BLANK
from streamtrans.models.speech_encoder import SpeechEncoderConfig
from streamtrans.text.target import Detokenizer
from streamtrans.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class HeardWord:
    """begin, end: ms from the beginning of the stream; the frames of its first and last piece, which CTC may put
    anywhere within the word or a little behind it.
    """

    text: str
    begin: int
    end: int


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

    @property
    def open(self) -> str:
        """The word that is not whole yet, as far as it was heard; it may still grow, and only grow."""
        return self._open.vocabulary.decode(self._open.pieces)

    def feed(self, labels: Sequence[int]) -> list[HeardWord]:
        """The words that the labels of the next frames complete.

        Repeated labels are one and blanks are none (Graves et al. 2006, section 3.1: the map B).
        """
        words = []
        for label in labels:
            if label != self._last and label != BLANK:
                words += self._add(label)
            self._last = label
            self._frames += 1
        return words

    def flush(self) -> list[HeardWord]:
        """The open word, when a segment ends: a list of one or none. What is fed next begins a new word."""
        text = self._open.flush()
        self._last = BLANK
        return [HeardWord(text, self._begin, self._end)] if text else []

    def _add(self, piece: int) -> list[HeardWord]:
        self._end = self._config.ends(self._frames)
        if not self._open.pieces:
            self._begin = max(0, self._end - self._config.frame)
        text = self._open.feed(piece)
        return [HeardWord(text, self._begin, self._end)] if text else []
