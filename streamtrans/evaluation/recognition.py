"""How well speech was recognised: word and character error rate over a test set.

Both rates are edits over the whole set by the length of all its
references (not a mean of sentences), so long sentences count for more, and they may be over 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torchaudio.functional import edit_distance

from streamtrans.audio.pcm import Samples
from streamtrans.models.recognizer import Recognizer
from streamtrans.models.transcriber import Transcriber
from streamtrans.text.vocabulary import Vocabulary


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """(substitutions + deletions + insertions) / reference words. ValueError: no words, or not one hypothesis each."""
    return _rate([r.split() for r in references], [h.split() for h in hypotheses])


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """As `word_error_rate` over characters, spaces between words among them."""
    return _rate([_spaced(r) for r in references], [_spaced(h) for h in hypotheses])


def recognize(recognizer: Recognizer, vocabulary: Vocabulary, samples: Samples) -> str:
    """What the recogniser alone writes of one utterance, (N,) samples of 16 kHz: no detector, no segments."""
    transcriber = Transcriber(recognizer, vocabulary)
    return " ".join(word.text for word in transcriber.feed(samples) + transcriber.end())


def _spaced(text: str) -> list[str]:
    return list(" ".join(text.split()))


def _rate(references: list[list[str]], hypotheses: list[list[str]]) -> float:
    length = sum(map(len, references))
    if not length:
        raise ValueError("references without words have no error rate")
    pairs = zip(references, hypotheses, strict=True)
    edits: int = sum(edit_distance(r, h) for r, h in pairs)
    return edits / length
