"""Error rates worked out by hand."""

from __future__ import annotations

import fakes
import numpy as np
import pytest

from streamtrans.evaluation.recognition import (
    character_error_rate,
    recognize,
    word_error_rate,
)
from streamtrans.messages import Audio, End, Source


@pytest.mark.parametrize(
    ("references", "hypotheses", "words", "characters"),
    [
        (["the old house"], ["the old house"], 0, 0),
        (["the old house"], ["  the  old house "], 0, 0),
        (["the old house"], [""], 1, 1),
        (["the old house"], ["the cold house"], 1 / 3, 1 / 13),  # one substituted; c inserted
        (["a b c d"], ["b c d e"], 2 / 4, 4 / 7),  # a deleted, e inserted, with a space each
        (["yes", "it is so now"], ["no no", "it is so now"], 2 / 5, 5 / 15),
        (["yes"], ["no no no"], 3, 8 / 3),
        (["今 天 很 好"], ["今 天 好 吗"], 2 / 4, 2 / 4),  # a character is a word
    ],
)
def test_rates(
    references: list[str], hypotheses: list[str], words: float, characters: float
) -> None:
    assert word_error_rate(references, hypotheses) == pytest.approx(words)
    assert character_error_rate(references, hypotheses) == pytest.approx(characters)


def test_a_set_is_not_the_mean_of_its_sentences() -> None:
    assert word_error_rate(["a", "b c d"], ["x", "b c d"]) == pytest.approx(1 / 4)


def test_what_has_no_rate_is_said() -> None:
    with pytest.raises(ValueError, match="no error rate"):
        word_error_rate([" "], ["a"])
    with pytest.raises(ValueError, match="zip"):
        word_error_rate(["a", "b"], ["a"])


def test_the_recogniser_alone_writes_what_a_session_hears() -> None:
    """Of a segment that is known to end where its sound does; of next to no sound, nothing breaks."""
    engine = fakes.hearing_engine()
    sound = fakes.noise(1.92, 7)  # whole frames of the detector
    session = engine.open("wait-1", rate=16_000)
    events = fakes.speak(engine, session, Audio(fakes.pcm(sound)), End())
    words = [event.text for event in events if isinstance(event, Source)]
    sent = np.frombuffer(fakes.pcm(sound), "<i2").astype(np.float32) / 32768
    parts = fakes.recognizer(), fakes.spoken_vocabulary()
    assert len(words) > 3 and recognize(*parts, sent) == " ".join(words).lower()
    assert isinstance(recognize(*parts, sent[:100]), str)
