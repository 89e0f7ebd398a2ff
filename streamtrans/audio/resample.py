"""Any rate to 16 kHz, piece by piece, with the filter's past carried over: no clicks where pieces meet.

It knows rates and samples. It does not know bytes or features.
"""

from __future__ import annotations

import numpy as np
import soxr

from streamtrans.audio.errors import AudioError
from streamtrans.audio.pcm import Samples

RATE = 16_000
RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
HELD = 1_600  # samples of 16 kHz that are held back at most, with a margin
QUALITY = (
    "LQ"  # holds back at most 21 ms from 44.1 kHz and 61 ms from 8 kHz; HQ holds back twice as much
)


class Resampler:
    """One stream of `rate` samples a second to 16,000: the output is the same, to the bit, for every cutting.

    soxr works in blocks, so some output comes late; `flush` gives what is held back. AudioError bad_rate for a rate
    that is not in RATES.
    """

    def __init__(self, rate: int) -> None:
        if rate not in RATES:
            known = ", ".join(map(str, RATES))
            raise AudioError("bad_rate", f"{rate!r} samples a second; use one of {known}")
        self.rate = rate
        self._taken = 0  # since the last flush
        self._stream = (
            None
            if rate == RATE
            else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality=QUALITY)
        )

    def feed(self, samples: Samples) -> Samples:
        """The next samples, (N,) -> those of 16 kHz that are ready, (M,); M may be 0."""
        self._taken += len(samples)
        return self._resample(samples, last=False)

    def flush(self) -> Samples:
        """The rest, after the last piece: (M,). What is fed then is a new stream."""
        rest = self._resample(np.zeros(0, np.float32), last=True)
        if self._stream is not None:
            self._stream.clear()
        self._taken = 0
        return rest

    @property
    def certain(self) -> int:
        """Samples of 16 kHz that are ready since the last flush, however the stream was cut: soxr's blocks bring some
        more, sooner or later as they are filled.
        """
        if self._stream is None:
            return self._taken
        return max(0, self._taken * RATE // self.rate - HELD)

    def _resample(self, samples: Samples, last: bool) -> Samples:
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), dtype=np.float32)
