"""A recording as a session takes it: one channel of 16-bit PCM, piece by piece, in real time or at once.

This file knows sound files and schedules. It does not know sessions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE, RATES

PIECE_MS = 40
UNKNOWN = 2**63 - 1  # frames, what libsndfile says of a file whose head does not tell


class RecordingError(ValueError):
    """No sound file, or one that cannot be read to its end."""


class Recording:
    """A file that libsndfile reads (WAV, FLAC, Ogg, MP3, ...), of any rate and number of channels, which are mixed.

    rate: samples a second of its pieces: those of the file where a server takes them, else 16,000.
    """

    def __init__(self, path: Path) -> None:
        """Raises RecordingError; OSError for a file that is not there."""
        path.open("rb").close()  # libsndfile calls every trouble "System error"
        try:
            head = soundfile.info(path)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"{path} cannot be heard: {error.error_string}") from error
        if not head.frames:
            raise RecordingError(f"{path} holds no sound")
        self.rate: int = head.samplerate if head.samplerate in RATES else RATE
        self._path = path
        self._frames: int = head.frames

    def pieces(self) -> Iterator[bytes]:
        """S16le of about `PIECE_MS` each; no more than that of a file is in memory. Raises RecordingError."""
        with soundfile.SoundFile(self._path) as file:
            resampler = None
            if file.samplerate != self.rate:
                resampler = soxr.ResampleStream(file.samplerate, self.rate, 1, dtype="float32")
            for samples in self._blocks(file):
                yield _pcm(samples if resampler is None else resampler.resample_chunk(samples))
            if resampler is not None:
                yield _pcm(resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    async def at_once(self) -> AsyncIterator[bytes]:
        """The pieces as fast as they are taken."""
        for piece in self.pieces():
            yield piece

    async def in_real_time(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[bytes]:
        """Each piece when its last sample would be heard, whatever came before: a late one makes no other late."""
        start, samples = clock(), 0
        for piece in self.pieces():
            samples += len(piece) // 2
            wait = start + samples / self.rate - clock()
            if wait > 0:
                await sleep(wait)
            yield piece

    def _blocks(self, file: soundfile.SoundFile) -> Iterator[Samples]:
        """One channel: (N,)."""
        read = 0
        try:
            while len(block := file.read(_size(file.samplerate), "float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise RecordingError(f"{self._path} has samples that are no numbers")
                read += len(block)
                yield block.mean(axis=1)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"{self._path} is broken: {error.error_string}") from error
        if read < self._frames != UNKNOWN:
            there, told = (count / file.samplerate for count in (read, self._frames))
            raise RecordingError(f"{self._path} ends after {there:.1f} s of {told:.1f} s")


def _size(rate: int) -> int:
    return max(1, rate * PIECE_MS // 1000)


def _pcm(samples: Samples) -> bytes:
    """Full scale is 1; what is louder is clipped. A file of 16 bits comes out as it is."""
    return (samples * 32768).round().clip(-32768, 32767).astype("<i2").tobytes()
