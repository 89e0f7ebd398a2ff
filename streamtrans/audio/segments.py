"""Where a stream without end begins and ends its segments, from a score of speech for each frame.

It knows scores and counts of frames. Whose scores they are it does not know: `SpeechDetector` gives one every 32 ms;
the blanks of a recogniser (1 - their probability) would do as well.

A segment ends in a pause. The longer a segment is already, the shorter a pause will do, until at `maximum` none is
needed: a speaker who never stops is cut at the best place that comes in time, and nothing has to be read twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from streamtrans.audio.errors import AudioError

PAUSES = (200, 5000)  # ms, shortest and longest that may be asked for


@dataclass(frozen=True)
class Segmentation:
    """When speech begins and ends. Times in s, scores from 0 to 1.

    frame: s to a score. begin: score at which speech begins, hold: at which it goes on. minimum: shortest speech that
    begins a segment. pause: silence that ends one, less from half of `maximum` on. edge: what belongs to a segment
    before its first and after its last speech. ValueError where that makes no sense.
    """

    frame: float = 0.032
    begin: float = 0.5
    hold: float = 0.35
    minimum: float = 0.1
    pause: float = 0.6
    maximum: float = 20.0
    edge: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.hold <= self.begin <= 1:
            raise ValueError(
                f"hold {self.hold} and begin {self.begin} must be in this order, from 0 to 1"
            )
        if self.frame <= 0 or self.minimum < 0 or self.edge < 0:
            raise ValueError("frame must be over 0, minimum and edge at least 0")
        if not self.frame <= self.pause < self.maximum:
            raise ValueError(
                f"pause {self.pause} must be from a frame to under maximum {self.maximum}"
            )

    @classmethod
    def asked(cls, pause: int | None) -> Segmentation:
        """With a pause of so many ms, or the usual one. Raises AudioError bad_pause."""
        if pause is None:
            return cls()
        least, most = PAUSES
        if not least <= pause <= most:
            raise AudioError("bad_pause", f"pause = {pause}: from {least} to {most} ms of silence")
        return cls(pause=pause / 1000)

    def frames(self, seconds: float) -> int:
        """A time in frames, rounded up."""
        return math.ceil(seconds / self.frame - 1e-9)

    def pause_after(self, length: int) -> int:
        """Frames of silence that end a segment of `length` frames."""
        left = 2 * (1 - length / self.frames(self.maximum))
        return max(1, math.ceil(self.frames(self.pause) * min(1.0, left)))


class Edge(Enum):
    """Which side of a segment."""

    BEGIN = "begin"
    END = "end"


@dataclass(frozen=True)
class Boundary:
    """at: the frame a segment begins with, or the one after its last; known: how many scores it took to say so."""

    edge: Edge
    at: int
    known: int


class SpeechSegmenter:
    """Scores of one stream, in any cutting, to boundaries: begin and end in turns, none before the one it follows."""

    def __init__(self, segmentation: Segmentation | None = None) -> None:
        self.segmentation = segmentation or Segmentation()
        self._now = 0  # scores taken
        self._free = 0  # frames before it belong to segments that are over
        self._begin: int | None = None  # of the open segment
        self._speech = 0  # frames of speech that might begin one
        self._silence = 0  # frames of silence at the end of the open one

    @property
    def open(self) -> bool:
        """Whether a segment is open."""
        return self._begin is not None

    def feed(self, scores: Iterable[float]) -> list[Boundary]:
        """The boundaries that the next scores tell. Raises AudioError bad_samples for a score not from 0 to 1."""
        scores = [float(score) for score in scores]
        if bad := [score for score in scores if not 0 <= score <= 1]:
            raise AudioError("bad_samples", f"a speech score of {bad[0]}; scores are from 0 to 1")
        return [boundary for score in scores for boundary in self._take(score)]

    def flush(self) -> list[Boundary]:
        """End here: what is open is closed, speech too short to tell makes a segment of its own, nothing is lost."""
        found = []
        if not self.open and self._speech:
            found.append(self._began(self._now - self._speech))
        if self.open:
            found.append(self._ended(self._now))
        return found

    def rewind(self) -> int:
        """Go back to the end of the last segment: what is behind it is scored again. Returns the frames before it."""
        self._now = self._free
        return self._now

    def _take(self, score: float) -> list[Boundary]:
        self._now += 1
        s = self.segmentation
        if self._begin is None:
            going_on = score >= (s.hold if self._speech else s.begin)
            self._speech = self._speech + 1 if going_on else 0
            if self._speech and self._speech >= s.frames(s.minimum):
                return [self._began(self._now - self._speech)]
            return []
        self._silence = 0 if score >= s.hold else self._silence + 1
        length = self._now - self._begin
        if self._silence >= s.pause_after(length):
            spoken = self._now - self._silence
            return [self._ended(min(self._now, spoken + s.frames(s.edge)))]
        if length >= s.frames(s.maximum):
            return [self._ended(self._now), self._began(self._now)]
        return []

    def _began(self, speech: int) -> Boundary:
        self._begin = max(self._free, speech - self.segmentation.frames(self.segmentation.edge))
        self._speech = self._silence = 0
        return Boundary(Edge.BEGIN, self._begin, self._now)

    def _ended(self, at: int) -> Boundary:
        self._begin, self._free = None, at
        self._speech = self._silence = 0
        return Boundary(Edge.END, at, self._now)
