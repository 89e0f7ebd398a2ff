"""The newest samples of a stream, by their place in it. It knows samples and places, and nothing of what hears them."""

from __future__ import annotations

import numpy as np

from streamtrans.audio.pcm import Samples

WIDTH = 4  # bytes of a float32


class SampleBuffer:
    """Samples from `begin` to `end` of a stream. Appending and forgetting cost what is appended and nothing."""

    def __init__(self) -> None:
        self.begin = self.end = 0
        self._kept = bytearray()

    def append(self, samples: Samples) -> None:
        """The next samples: (N,)."""
        self._kept += samples.astype(np.float32, copy=False).tobytes()
        self.end += len(samples)

    def between(self, begin: int, end: int) -> Samples:
        """A copy of the samples of these places: (end - begin,). Raises IndexError for what is not there."""
        if not self.begin <= begin <= end <= self.end:
            raise IndexError(f"{begin} to {end} is not within {self.begin} to {self.end}")
        some = slice((begin - self.begin) * WIDTH, (end - self.begin) * WIDTH)
        return np.frombuffer(bytes(self._kept[some]), np.float32)

    def forget(self, before: int) -> None:
        """Keep only what lies at `before` or behind it."""
        gone = min(before, self.end) - self.begin
        if gone > 0:
            del self._kept[: gone * WIDTH]
            self.begin += gone
