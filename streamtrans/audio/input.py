"""One audio stream as a session holds it: bytes of any encoding, rate and cutting in, samples of 16 kHz out."""

from __future__ import annotations

from streamtrans.audio.pcm import PCMDecoder, Samples
from streamtrans.audio.resample import RATE, Resampler


class AudioInput:
    """Decoder and resampler of one stream, and its clock.

    encoding: s16le or f32le; rate: samples a second. AudioError bad_encoding, bad_rate.
    """

    def __init__(self, encoding: str = "s16le", rate: int = RATE) -> None:
        self._decoder, self._resampler = PCMDecoder(encoding), Resampler(rate)
        self._taken = self._flushed = self._given = 0

    @property
    def seconds(self) -> float:
        """How much sound has come in."""
        return self._taken / self._resampler.rate

    @property
    def clipped(self) -> int:
        """Samples that were over full scale."""
        return self._decoder.clipped

    @property
    def certain(self) -> int:
        """Samples of 16 kHz that are out by now, however the stream was cut."""
        return self._flushed + self._resampler.certain

    def feed(self, data: bytes) -> Samples:
        """The next bytes -> samples of 16 kHz that are ready: (N,). Raises AudioError bad_samples."""
        samples = self._decoder.feed(data)
        self._taken += len(samples)
        return self._give(self._resampler.feed(samples))

    def flush(self) -> Samples:
        """All that is held back, so that a segment can end here: (N,)."""
        rest = self._give(self._resampler.flush())
        self._flushed = self._given
        return rest

    def end(self) -> Samples:
        """The last samples: (N,). Raises AudioError half_sample, after which `flush` still gives them."""
        self._decoder.end()
        return self.flush()

    def _give(self, samples: Samples) -> Samples:
        self._given += len(samples)
        return samples
