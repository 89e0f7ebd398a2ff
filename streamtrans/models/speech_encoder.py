"""The encoder of speech: log-mel frames to states, subsampled, chunk by chunk, at a constant cost a second.

It knows frames of 10 ms and what waiting they cost. It does not know samples, words or the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.models.config import ConfigError
from streamtrans.nn.conformer import ConformerLayer, ConformerState
from streamtrans.nn.conv import CausalConv, LookAhead
from streamtrans.nn.streaming import State
from streamtrans.nn.windows import N, Past, Strided, next_windows

HOP = 10  # ms of one mel frame
KERNEL = 4  # frames that a subsampling convolution of stride 2 sees


@dataclass(frozen=True)
class SpeechEncoderConfig:
    """A streaming Conformer. Raises ConfigError where a value cannot be meant.

    mels M, dim D, heads H, hidden: width of the feed-forward. subsampling: mel frames to a state, a power of 2 (4:
    40 ms, 8: 80 ms). kernel: states the depthwise convolution sees; window: states attention looks back; chunk: states
    that see one another and come out together; ahead: states of look-ahead beyond that; piece: the most states a step
    gives.
    """

    mels: int = 80
    subsampling: int = 4
    dim: int = 256
    heads: int = 4
    hidden: int = 512
    layers: int = 8
    kernel: int = 15
    window: int = 128
    chunk: int = 8
    ahead: int = 0
    piece: int = 64
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.subsampling < 2 or self.subsampling & (self.subsampling - 1):
            raise ConfigError(f"subsampling {self.subsampling} must be a power of 2 from 2 on")
        if self.dim % (2 * self.heads):
            raise ConfigError(f"dim {self.dim} must be a multiple of 2 x heads {self.heads}")
        for name in ("mels", "hidden", "layers", "kernel", "window", "chunk", "piece"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
        if self.ahead < 0:
            raise ConfigError("ahead must be at least 0")
        if self.piece % self.chunk:
            raise ConfigError(f"piece {self.piece} must be a multiple of chunk {self.chunk}")

    @property
    def frame(self) -> int:
        """ms of sound that a state stands for."""
        return HOP * self.subsampling

    @property
    def stride(self) -> int:
        """Mel frames to a chunk: what a step should take, so that nothing waits for the next one."""
        return self.subsampling * self.chunk

    @property
    def latency(self) -> int:
        """Algorithmic latency in ms: the longest time from a sound to the state that stands for it.

        A sound at the beginning of a chunk waits for its end and for the look-ahead; in the mean it waits half a chunk
        less. Windows and causal convolutions look back only and add nothing.
        """
        return self.frame * (self.chunk + self.ahead)

    def tail(self, length: int) -> int:
        """Mel frames of silence to add after `length` frames so that the states of all of them come out."""
        ahead = self.ahead * self.subsampling
        return ahead + -(length + ahead) % self.stride

    def ends(self, state: int) -> int:
        """The time in ms, from the beginning of the stream, when the sound that a state stands for was over."""
        return max(0, state + 1 - self.ahead) * self.frame


@dataclass
class SpeechEncoderState(State):
    """front: one past a convolution; ahead: of the look-ahead; chunk: states waiting for their chunk; layers."""

    front: tuple[Past, ...]
    ahead: Past
    chunk: Past
    layers: tuple[ConformerState, ...]


class SpeechEncoder(Strided[SpeechEncoderState]):
    """Convolutions of stride 2, look-ahead, Conformer layers: (B, T, M) mel frames -> (B, count(T), D) states."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        c = self.config = config
        halvings = c.subsampling.bit_length() - 1
        sizes = [c.mels] + [c.dim] * halvings
        self.front = nn.ModuleList(CausalConv(a, b, KERNEL, stride=2) for a, b in pairwise(sizes))
        self.front_norm = nn.LayerNorm(c.dim, bias=False)
        self.ahead = LookAhead(c.dim, c.ahead)
        self.layers = nn.ModuleList(
            ConformerLayer(
                c.dim, c.heads, c.hidden, c.kernel, c.window, c.chunk, c.piece, c.dropout
            )
            for _ in range(c.layers)
        )
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, M) -> (B, count(T), D). Frames that complete no chunk are left out: see `tail`."""
        return self.outputs(x)[-1]

    def outputs(self, x: Tensor) -> list[Tensor]:
        """What comes out of each layer, first to last: (B, T, M) -> (B, count(T), D) each."""
        if not self.count(x.shape[1]):
            return [x.new_zeros(len(x), 0, self.config.dim)] * self.config.layers
        for conv in self.front:
            x = F.gelu(conv(x))
        x = self.dropout(self.ahead(self.front_norm(x)))
        x = x[:, : x.shape[1] // self.config.chunk * self.config.chunk]
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs

    def init_state(self, batch: int) -> SpeechEncoderState:
        """Before the first frame."""
        c = self.config
        return SpeechEncoderState(
            front=tuple(conv.init_state(batch) for conv in self._front()),
            ahead=self.ahead.init_state(batch),
            chunk=Past.zeros(batch, c.chunk, c.dim, *self.place()),
            layers=tuple(layer.init_state(batch) for layer in self._layers()),
        )

    def step(
        self, x: Tensor, state: SpeechEncoderState, lengths: Tensor | None = None
    ) -> tuple[Tensor, SpeechEncoderState]:
        """(B, T, M), state -> (B, whole chunks, D), state; `counts` says how many states of each row count.

        A step that completes no chunk costs the convolutions only (on the CPU). Any T whose states fit in `piece`;
        ValueError over that.
        """
        front = []
        for conv, past in zip(self._front(), state.front, strict=True):
            counts = conv.counts(past, x.shape[1], lengths)
            x, past = conv.step(x, past, lengths)
            x, lengths = F.gelu(x), counts
            front.append(past)
        x, ahead = self.ahead.step(self.front_norm(x), state.ahead, lengths)
        x, chunk, lengths = self._chunks(x, state.chunk, lengths)
        if x.device.type == "cpu" and not lengths.any():  # a device would have to tell
            return x[:, :0], SpeechEncoderState(tuple(front), ahead, chunk, state.layers)
        layers = []
        plan = self._layers()[0].attention.plan(state.layers[0].attention, x.shape[1], lengths)
        for layer, own in zip(self._layers(), state.layers, strict=True):
            x, own = layer.step(x, own, lengths, plan)
            layers.append(own)
        return x, SpeechEncoderState(tuple(front), ahead, chunk, tuple(layers))

    def count(self, length: N) -> N:
        """States out after `length` mel frames."""
        return length // self.config.stride * self.config.chunk

    def length(self, state: SpeechEncoderState) -> Tensor:
        """(B,) mel frames so far."""
        return state.front[0].length

    def _chunks(self, x: Tensor, past: Past, lengths: Tensor | None) -> tuple[Tensor, Past, Tensor]:
        """The chunks that new states complete, and how many states they are: (B,)."""
        size = self.config.chunk
        added = x.shape[1] if lengths is None else lengths
        counts = ((past.length + added) // size - past.length // size) * size
        chunks, past = next_windows(x, past, size, size, lengths)
        return chunks.flatten(1, 2), past, counts

    def _front(self) -> list[CausalConv]:
        return [conv for conv in self.front if isinstance(conv, CausalConv)]

    def _layers(self) -> list[ConformerLayer]:
        return [layer for layer in self.layers if isinstance(layer, ConformerLayer)]
