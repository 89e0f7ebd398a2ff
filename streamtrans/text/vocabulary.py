"""Subword pieces by sentencepiece, joint over both languages, the word end marked on the last piece of a word.

The mark at the end (not at the beginning, sentencepiece's default) lets a decoder know that a word is whole when it
writes its last piece; with the mark at the beginning it would know one WRITE, and so one READ, later.
A Chinese character is a word, and with its mark one piece: sentencepiece would keep each of them a second time, bare.
It knows pieces and words, and nothing of READ, WRITE or tensors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import sentencepiece

from streamtrans.text.normalize import HAN, normalize

MARK = "\u2581"
_HAN = re.compile(rf"[{HAN}]")


class VocabularyError(ValueError):
    """Bytes that are no vocabulary."""


class Vocabulary:
    """pad, unk, bos, eos are 0 to 3. A word never shares a piece with its neighbours."""

    pad, unk, bos, eos = range(4)

    def __init__(self, model: bytes) -> None:
        """model: a serialised sentencepiece model made by `train`. Raises VocabularyError."""
        self.model = model
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise VocabularyError(f"{len(model)} bytes are no sentencepiece model") from error
        self.size: int = self._pieces.get_piece_size()
        self.mark: int = self._pieces.piece_to_id(MARK)  # the end of a word and nothing else
        self.ends_word: list[bool] = [
            self._pieces.id_to_piece(i).endswith(MARK) for i in range(self.size)
        ]

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """From a file. Raises OSError where there is none, VocabularyError where it is damaged."""
        return cls(path.read_bytes())

    @classmethod
    def train(
        cls, lines: Iterable[str], size: int, path: Path, byte_fallback: bool = True
    ) -> Vocabulary:
        """Learn `size` pieces from lines of words, write them to `path` and load them.

        byte_fallback: 256 of them are single bytes, so that nothing is unknown. Each Chinese character in the lines is
        a piece; with some there, the pieces may be fewer than `size`. Raises RuntimeError if `size` is too small.
        """
        lines = list(lines)
        characters = Counter(chain.from_iterable(map(_HAN.findall, lines))).most_common()
        filling = [". ."] if characters else []  # the trainer fails where nothing is left to learn
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines + filling),
            user_defined_symbols=[character + MARK for character, _ in characters],
            hard_vocab_limit=not characters,
            required_chars="".join(filling).replace(" ", ""),
            model_prefix=str(path.with_suffix("")),
            vocab_size=size,
            model_type="unigram",
            character_coverage=0.9999,
            byte_fallback=byte_fallback,
            treat_whitespace_as_suffix=True,
            split_digits=True,
            pad_id=cls.pad,
            unk_id=cls.unk,
            bos_id=cls.bos,
            eos_id=cls.eos,
            num_threads=2,
            minloglevel=2,
        )
        path.with_suffix(".vocab").unlink()
        return cls.load(path)

    def encode(self, word: str) -> list[int]:
        """The pieces of one word, or of a line of words: encoding a line is encoding its words one by one."""
        pieces: list[int] = self._pieces.encode(normalize(word))
        return pieces

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        """Many lines, on all cores."""
        pieces: list[list[int]] = self._pieces.encode([normalize(line) for line in lines])
        return pieces

    def decode(self, pieces: Sequence[int]) -> str:
        """The text of some pieces, without the white space at its ends."""
        text: str = self._pieces.decode(list(pieces))
        return text.strip()

    def raw(self, pieces: Sequence[int]) -> bytes:
        """The bytes that some pieces spell, also where they end within a letter."""
        return b"".join(
            bytes([int(self._pieces.id_to_piece(i)[3:5], 16)])
            if self._pieces.is_byte(i)
            else self._pieces.id_to_piece(i).replace(MARK, " ").encode()
            for i in pieces
        )

    def byte(self, value: int) -> int:
        """The piece of a single byte."""
        piece: int = self._pieces.piece_to_id(f"<0x{value:02X}>")
        return piece
