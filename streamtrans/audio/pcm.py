"""PCM: bytes in any cutting, as they come from a socket or a pipe, to samples from -1 to 1.

It knows how a sample is written in bytes. It does not know its rate. One channel: who has more mixes them first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamtrans.audio.errors import AudioError

Samples = NDArray[np.float32]

ENCODINGS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
BEYOND = (
    8.0  # floats over this are integers that nobody scaled; up to it they are loud and get clipped
)


class PCMDecoder:
    """Bytes of one stream to samples; the bytes of a sample that is not whole yet wait for the next piece.

    encoding: s16le (16-bit integers, little endian) or f32le (floats, full scale 1.0), else AudioError bad_encoding.
    clipped: samples over full scale so far, which are set to full scale.
    """

    def __init__(self, encoding: str = "s16le") -> None:
        if encoding not in ENCODINGS:
            known = ", ".join(ENCODINGS)
            raise AudioError("bad_encoding", f"{encoding!r} is not known; use one of {known}")
        self.encoding = encoding
        self.clipped = 0
        self._type = ENCODINGS[encoding]
        self._rest = b""

    def feed(self, data: bytes) -> Samples:
        """The samples that `data` completes: (N,). Raises AudioError bad_samples and takes nothing of `data` then."""
        data = self._rest + data
        whole = len(data) - len(data) % self._type.itemsize
        values = np.frombuffer(data, self._type, whole // self._type.itemsize)
        samples = self._full_scale(values)
        self._rest = data[whole:]
        return samples

    def end(self) -> None:
        """Raises AudioError half_sample if bytes of a sample are left; all whole samples were given already."""
        left, self._rest = len(self._rest), b""
        if left:
            size = self._type.itemsize
            raise AudioError(
                "half_sample",
                f"the stream ends {left} of {size} bytes into a sample: is it {self.encoding}?",
            )

    def _full_scale(self, values: NDArray[Any]) -> Samples:
        if self.encoding == "s16le":
            return values.astype(np.float32) / np.float32(32768)
        samples = values.astype(np.float32)
        if not np.isfinite(samples).all():
            raise AudioError("bad_samples", "NaN or infinite samples; send numbers from -1 to 1")
        peak = float(np.abs(samples).max(initial=0))
        if peak > BEYOND:
            raise AudioError("bad_samples", f"a sample of {peak:g}; full scale of f32le is 1.0")
        if peak > 1:
            self.clipped += int(np.count_nonzero(np.abs(samples) > 1))
            samples = samples.clip(-1, 1)
        return samples
