"""Speech that needs no model: a run of equal samples is a word, zeros are silence.

`speech("one two. three")` is PCM of it, `FakeEar` hears it again, from any place in a silence on and in any cutting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP_MS = 40  # what is heard at once, and the silence between two words
WORD_MS = 120
PAUSE_MS = 300  # silence that ends a segment
EDGE_MS = 100  # of it still belong to the segment
WORDS = "one two three four five six seven eight nine ten".split()


def speech(text: str, rate: int = 16000) -> bytes:
    """S16le mono PCM of words of WORDS; a full stop is a long pause, a space a short one."""
    ms = rate // 1000
    pieces = []
    for word in text.split():
        value = 1000 * (1 + WORDS.index(word.rstrip(".")))
        pieces += [np.full(WORD_MS * ms, value), np.zeros(STEP_MS * ms)]
        if word.endswith("."):
            pieces.append(np.zeros(2 * PAUSE_MS * ms))
    return np.concatenate(pieces).astype("<i2").tobytes()


@dataclass(frozen=True)
class Heard:
    """A word and where it lies, in ms; without a text the end of a segment."""

    text: str
    begin: float
    end: float


class FakeEar:
    """`clock`: ms that were heard."""

    def __init__(self, rate: int) -> None:
        self._ms = 1000 / rate  # of a sample
        self._samples = 0
        self._value = 0  # of the run that goes on
        self._begin = 0  # of it, in samples
        self._open = False  # words came after the last end of a segment
        self._half = b""

    @property
    def clock(self) -> float:
        return self._samples * self._ms

    @property
    def half(self) -> list[str]:
        """The word that goes on, if one does."""
        return [self._word()] if self._value else []

    def hear(self, sound: bytes) -> list[Heard]:
        sound = self._half + sound
        whole = len(sound) // 2 * 2
        self._half = sound[whole:]
        samples = np.frombuffer(sound[:whole], "<i2").astype(np.int32)
        cuts = np.flatnonzero(np.diff(samples, prepend=self._value))
        found: list[Heard] = []
        for cut in cuts:
            found += self._run_over(self._samples + int(cut))
            self._value = int(samples[cut])
        self._samples += len(samples)
        if not self._value:
            found += self._silence(self._samples)
        return found

    def flush(self) -> list[Heard]:
        """The word that goes on is over."""
        found = self._run_over(self._samples)
        self._value, self._open = 0, False
        return found

    def _run_over(self, now: int) -> list[Heard]:
        begin, self._begin = self._begin, now
        if not self._value:
            silent = self._silence(now, begin)
            return silent
        self._open = True
        return [Heard(self._word(), begin * self._ms, now * self._ms)]

    def _word(self) -> str:
        return WORDS[round(self._value / 1000 - 1) % len(WORDS)]

    def _silence(self, now: int, begin: int | None = None) -> list[Heard]:
        begin = self._begin if begin is None else begin
        if not self._open or (now - begin) * self._ms < PAUSE_MS:
            return []
        self._open = False
        end = begin * self._ms + EDGE_MS
        return [Heard("", end, end)]
