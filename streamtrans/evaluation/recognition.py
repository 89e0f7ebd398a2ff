"""How well speech was recognised: word and character error rate over a test set.

Both rates are edits over the whole set by the length of all its references (not a mean of sentences), so long sentences
count for more, and they may be over 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torchaudio.functional import edit_distance

from streamtrans.audio.features import HOP, LogMel
from streamtrans.audio.pcm import Samples
from streamtrans.models.decoding import decoding
from streamtrans.models.recognizer import Recognizer
from streamtrans.text.normalize import HAN
from streamtrans.text.vocabulary import Vocabulary

_BETWEEN_HAN = re.compile(rf"(?<=[{HAN}]) (?=[{HAN}])")


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """(substitutions + deletions + insertions) / reference words. ValueError: no words, or not one hypothesis each."""
    return _rate([r.split() for r in references], [h.split() for h in hypotheses])


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """As `word_error_rate` over characters, spaces between words among them, but none between Chinese characters."""
    return _rate([_spaced(r) for r in references], [_spaced(h) for h in hypotheses])


@torch.inference_mode()
def recognize(recognizer: Recognizer, vocabulary: Vocabulary, samples: Samples) -> str:
    """What the recogniser alone writes of one utterance, (N,) samples of 16 kHz, in one pass: no detector, no segments.

    As a stream it would write the same.
    """
    config, frames = recognizer.config, len(samples) // HOP
    device, dtype = recognizer.place()
    exact = torch.promote_types(dtype, torch.float32)  # no spectrum in half precision
    behind = HOP * (frames + config.tail(frames)) - len(samples)
    padded = torch.from_numpy(np.pad(samples, (0, max(0, behind)))).to(device, exact)[None]
    mel = LogMel(config.mels).to(device, exact)(padded).to(dtype)
    search = decoding(recognizer, vocabulary)
    words = search.words()
    heard = words.feed(search.labels(recognizer(mel))[0]) + words.flush()
    return " ".join(word.text for word in heard)


def _spaced(text: str) -> list[str]:
    return list(_BETWEEN_HAN.sub("", " ".join(text.split())))


def _rate(references: list[list[str]], hypotheses: list[list[str]]) -> float:
    length = sum(map(len, references))
    if not length:
        raise ValueError("references without words have no error rate")
    pairs = zip(references, hypotheses, strict=True)
    edits: int = sum(edit_distance(r, h) for r, h in pairs)
    return edits / length
