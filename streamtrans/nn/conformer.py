"""The Conformer layer (Gulati et al. 2020) as it streams: attention to a chunk and a bounded past, causal convolution.

It differs from the paper where a stream asks for it: layer norm for batch norm in the convolution (a batch's statistics
mix sessions), rotary for relative positions (they need no table), chunks for the whole; and in SwiGLU for its
feed-forward, as everywhere here. It knows frames and chunks, and nothing of sound or words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.nn.attention import CausalAttention, Plan, angles, hiding
from streamtrans.nn.blocks import FeedForward
from streamtrans.nn.cache import KeyValueCache
from streamtrans.nn.conv import DepthwiseConv
from streamtrans.nn.streaming import State, Streaming
from streamtrans.nn.windows import Past


class ChunkAttention(CausalAttention):
    """Self-attention in which position t sees t - window + 1 .. the end of its chunk of `chunk` positions.

    A chunk arrives as a whole, so what it sees of its own future costs no time. Steps begin and end with a chunk; only
    a stream's last one may be cut short. chunk 1 is causal attention. piece: a multiple of chunk, ValueError otherwise.
    """

    def __init__(self, dim: int, heads: int, window: int, chunk: int = 1, piece: int = 64) -> None:
        super().__init__(dim, heads, window, piece)
        if chunk < 1 or piece % chunk:
            raise ValueError(f"a piece of {piece} positions is no multiple of a chunk of {chunk}")
        self.chunk = chunk

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        time = torch.arange(x.shape[1], device=x.device)
        return self.under(x, self._sees(time, time))

    def plan(self, state: KeyValueCache, time: int, lengths: Tensor | None = None) -> Plan:
        """Positions, cells and masks of a step of `time` positions. Raises ValueError over `piece`."""
        if time > self.piece:
            raise ValueError(f"a step takes at most {self.piece} positions, not {time}")
        dtype = self.out.weight.dtype
        now = state.length[:, None] + torch.arange(time, device=state.length.device)  # (B, T)
        cells = state.cells_for(time, lengths)
        seen = state.seen(cells.length)
        hidden = hiding(self._sees(now, seen.position), dtype)[:, None]
        return Plan(cells, seen, hidden, angles(now, self._head, dtype))

    def _sees(self, now: Tensor, position: Tensor) -> Tensor:
        """(..., T), (..., S) -> (..., T, S): which positions a query may look at; negative ones are empty cells."""
        end = (now // self.chunk + 1) * self.chunk
        now, end, position = now[..., None], end[..., None], position[..., None, :]
        return (position >= 0) & (position < end) & (now - position < self.window)


class Convolution(Streaming[Past]):
    """The convolution module (Gulati et al. 2020, figure 2): gated pointwise, depthwise, norm, SiLU, pointwise."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, 2 * dim, bias=False)
        self.depthwise = DepthwiseConv(dim, kernel)
        self.norm: nn.Module = nn.LayerNorm(dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self._after(self.depthwise(F.glu(self.gate(x), dim=-1)))

    def init_state(self, batch: int) -> Past:
        """What the depthwise convolution keeps."""
        return self.depthwise.init_state(batch)

    def step(self, x: Tensor, state: Past, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """(B, T, D), state -> (B, T, D), state. lengths may be 0."""
        y, state = self.depthwise.step(F.glu(self.gate(x), dim=-1), state, lengths)
        return self._after(y), state

    def _after(self, x: Tensor) -> Tensor:
        return self.out(F.silu(self.norm(x)))


@dataclass
class ConformerState(State):
    """attention: cache of keys and values; convolution: newest frames."""

    attention: KeyValueCache
    convolution: Past


class ConformerLayer(Streaming[ConformerState]):
    """Half a feed-forward, attention, convolution, the other half, norm (Gulati et al. 2020, eq. 1)."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        kernel: int,
        window: int,
        chunk: int = 1,
        piece: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.feed_norm = nn.LayerNorm(dim, bias=False)
        self.feed: nn.Module = FeedForward(dim, hidden)
        self.attention_norm = nn.LayerNorm(dim, bias=False)
        self.attention = ChunkAttention(dim, heads, window, chunk, piece)
        self.convolution_norm = nn.LayerNorm(dim, bias=False)
        self.convolution = Convolution(dim, kernel)
        self.last_feed_norm = nn.LayerNorm(dim, bias=False)
        self.last_feed: nn.Module = FeedForward(dim, hidden)
        self.norm = nn.LayerNorm(dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = self._first(x)
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        x = x + self.dropout(self.convolution(self.convolution_norm(x)))
        return self._last(x)

    def init_state(self, batch: int) -> ConformerState:
        """Empty cache, zeros."""
        return ConformerState(self.attention.init_state(batch), self.convolution.init_state(batch))

    def step(
        self,
        x: Tensor,
        state: ConformerState,
        lengths: Tensor | None = None,
        plan: Plan | None = None,
    ) -> tuple[Tensor, ConformerState]:
        """(B, T, D), state -> (B, T, D), state. T: whole chunks, at most `piece`. plan: of a layer of the stack."""
        x = self._first(x)
        y, cache = self.attention.step(self.attention_norm(x), state.attention, lengths, plan)
        x = x + y
        y, past = self.convolution.step(self.convolution_norm(x), state.convolution, lengths)
        return self._last(x + y), ConformerState(cache, past)

    def _first(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.dropout(self.feed(self.feed_norm(x)))

    def _last(self, x: Tensor) -> Tensor:
        return self.norm(x + 0.5 * self.dropout(self.last_feed(self.last_feed_norm(x))))
