"""Log-mel features: 16 kHz samples to frames of 10 ms, as recognisers have used them since Davis & Mermelstein 1980.

It knows windows, spectra and mel bands. It does not know bytes, other rates, or what a model does with features.

Features are normalised by fixed statistics of the training data, which travel with the model's weights. Running
statistics would need no future either, but they differ at the start of a stream from what they are later, forget how
loud a voice is against its background, and are state that a segment's end would have to keep or lose. Loudness is
left to the training, which sees sentences at many gains.
"""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor, nn

from streamtrans.audio.errors import AudioError
from streamtrans.audio.resample import RATE
from streamtrans.nn.windows import N, Past, Strided, next_windows, windows

HOP, WINDOW, FFT = 160, 400, 512  # samples: 10 ms, 25 ms
MELS = 80
FLOOR = 1e-6  # of a band's power: above the noise of 16-bit samples, far below speech; digital silence is its log
SILENCE = math.log(FLOOR)


class LogMel(Strided[Past]):
    """(B, N) samples -> (B, N // 160, mels): natural log of the power in each mel band of a Hann window.

    Frame t covers the 400 samples that end with sample 160 (t + 1) - 1, zeros before the first: it waits for nothing to
    come. Bands are triangles of unit height from 20 Hz to 8 kHz on the HTK mel scale.
    """

    basis: Tensor
    window: Tensor

    def __init__(self, mels: int = MELS) -> None:
        super().__init__()
        basis = torchaudio.functional.melscale_fbanks(FFT // 2 + 1, 20.0, RATE / 2, mels, RATE)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N) -> (B, N // 160, M)."""
        return self._bands(windows(x[..., None], WINDOW, HOP)[..., 0])

    def init_state(self, batch: int) -> Past:
        """Zeros, as before the first sample."""
        return Past.zeros(batch, WINDOW, 1, *self.place())

    def step(self, x: Tensor, state: Past, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """(B, N), state -> (B, ceil(N / 160), M), state; `counts` says how many frames of each row count."""
        frames, state = next_windows(x[..., None], state, WINDOW, HOP, lengths)
        return self._bands(frames[..., 0]), state

    def count(self, length: N) -> N:
        """Frames out after `length` samples."""
        return length // HOP

    def length(self, state: Past) -> Tensor:
        """(B,) samples so far."""
        return state.length

    def place(self) -> tuple[torch.device, torch.dtype]:
        """Device and dtype of the window: there are no weights."""
        return self.window.device, self.window.dtype

    def _bands(self, frames: Tensor) -> Tensor:
        """(B, T, 400) -> (B, T, M)."""
        if not frames.shape[1]:  # no FFT of nothing
            return frames.new_zeros(len(frames), 0, self.basis.shape[1])
        power = torch.fft.rfft(frames * self.window, FFT).abs().square()
        return (power @ self.basis).clamp(min=FLOOR).log()


class Normalization(nn.Module):
    """(features - mean) / deviation, each band by fixed statistics. A new one changes nothing until `fit`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mels: int = MELS) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(mels))
        self.register_buffer("deviation", torch.ones(mels))

    def forward(self, x: Tensor) -> Tensor:
        """(..., M) -> (..., M)."""
        return (x - self.mean) / self.deviation

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation from examples: (N, M). AudioError bad_samples if they are under 2 or not finite.

        A band that does not vary keeps a deviation of 0.1, so that it cannot blow up later.
        """
        if len(features) < 2 or not features.isfinite().all():
            raise AudioError("bad_samples", "statistics need two frames or more, all finite")
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp(min=0.1))
