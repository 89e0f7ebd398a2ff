"""What waits in a session to be READ: words, checked and cut where they have too many pieces, and ends of segments."""

from __future__ import annotations

from dataclasses import dataclass

from streamtrans.models.search import READ_PIECES
from streamtrans.text.vocabulary import Vocabulary


class SessionError(ValueError):
    """A command that does not fit the session. `code` is stable, `text` says what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Word:
    """A source word waiting to be READ; `at` is its source clock in ms; begin, end: where a spoken one lies."""

    text: str
    pieces: list[int]
    at: float
    begin: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """The end of a segment, a READ of its own; `at` is the source clock when it was known, None: with its last word.

    end: where a spoken one ends, in ms of the audio.
    """

    at: float | None
    end: float | None = None


def check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SessionError("bad_text", f"the text is not valid Unicode: {error.reason}") from error


def fitting(text: str, vocabulary: Vocabulary) -> list[tuple[str, list[int]]]:
    """The word and its pieces, in parts if they are too many for one READ; nothing of it is lost.

    A single sign may have up to 34 pieces: U+FDFA is spelt out as 18 letters.
    """
    pieces = vocabulary.encode(text)
    if len(pieces) <= READ_PIECES or len(text) == 1:
        return [(text, pieces)]
    middle = len(text) // 2
    return fitting(text[:middle], vocabulary) + fitting(text[middle:], vocabulary)
