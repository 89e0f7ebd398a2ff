"""Is somebody speaking? The network of Silero VAD 6 (silero.ai, MIT licence), under the law, for all sessions at once.

The weights are embedded (`pretrained/silero-vad`), the computation is written here: the package's own model keeps its
state in itself, one stream to a model, and sets torch's threads when it is imported. The package holds two sets of
weights; these are in safetensors, those in a format that torch gives up. They are equally good on speech in noise.
It knows samples of 16 kHz and scores from 0 to 1. It does not know what a segment is (`segments.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from streamtrans.nn.recurrent import LSTM, LSTMState
from streamtrans.nn.streaming import State
from streamtrans.nn.windows import N, Past, Strided, next_windows, windows

FRAME, WINDOW = 512, 576  # samples: a score every 32 ms, which sees 4 ms more behind it
BINS = 129
WEIGHTS = Path(__file__).parents[1] / "pretrained/silero-vad/silero_vad_16k.safetensors"


@dataclass
class DetectorState(State):
    """samples: newest ones; memory: of the recurrent layer."""

    samples: Past
    memory: LSTMState


class SpeechDetector(Strided[DetectorState]):
    """(B, N) samples -> (B, N // 512): probability that there is speech in each 32 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = nn.Conv1d(1, 2 * BINS, 256, stride=128, bias=False)
        sizes = ((BINS, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
        self.convs = nn.ModuleList(nn.Conv1d(a, b, 3, stride=s, padding=1) for a, b, s in sizes)
        self.memory = LSTM(128, 128)
        self.out = nn.Conv1d(128, 1, 1)

    @classmethod
    def load(cls) -> SpeechDetector:
        """With the embedded weights."""
        weights = load_file(WEIGHTS)
        names = {"stft_conv": "spectrum", "final_conv": "out"}
        names |= {f"conv{i + 1}": f"convs.{i}" for i in range(4)}
        state: dict[str, Tensor] = {}
        for name, weight in weights.items():
            part, kind = name.rsplit(".", 1)
            if part == "lstm_cell":
                state[f"memory.layers.0.{kind}_l0"] = weight
            else:
                state[f"{names[part]}.{kind}"] = weight
        detector = cls()
        detector.load_state_dict(state)
        return detector.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N) -> (B, N // 512)."""
        if x.shape[1] < FRAME:
            return x.new_zeros(len(x), 0)
        return self._score(self.memory(self._features(windows(x[..., None], WINDOW, FRAME))))

    def init_state(self, batch: int) -> DetectorState:
        """Silence before."""
        samples = Past.zeros(batch, WINDOW, 1, *self.place())
        return DetectorState(samples, self.memory.init_state(batch))

    def step(
        self, x: Tensor, state: DetectorState, lengths: Tensor | None = None
    ) -> tuple[Tensor, DetectorState]:
        """(B, N), state -> (B, ceil(N / 512)), state; `counts` says how many scores of each row count."""
        alike = lengths is None and x.shape[1] % FRAME == 0  # then each row has as many scores
        counts = None if alike else self.counts(state, x.shape[1], lengths)
        frames, samples = next_windows(x[..., None], state.samples, WINDOW, FRAME, lengths)
        y, memory = self.memory.step(self._features(frames), state.memory, counts)
        return self._score(y), DetectorState(samples, memory)

    def count(self, length: N) -> N:
        """Scores out after `length` samples."""
        return length // FRAME

    def length(self, state: DetectorState) -> Tensor:
        """(B,) samples so far."""
        return state.samples.length

    def _features(self, frames: Tensor) -> Tensor:
        """Windows (B, T, 576, 1) -> what the recurrent layer takes, (B, T, 128)."""
        batch, time = frames.shape[:2]
        x = F.pad(frames.reshape(batch * time, 1, WINDOW), (0, 64), "reflect")
        real, imaginary = self.spectrum(x).chunk(2, dim=1)
        x = (real.square() + imaginary.square()).sqrt()
        for conv in self.convs:
            x = F.relu(conv(x))
        return x.view(batch, time, -1)

    def _score(self, y: Tensor) -> Tensor:
        return self.out(F.relu(y).transpose(1, 2)).sigmoid()[:, 0]
