"""Transformer layers assembled from attention and feed-forward: pre-norm, residual, no biases.

It knows how sublayers are put together, and nothing of vocabularies or READ and WRITE.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.nn.attention import CausalAttention, CrossAttention, Plan
from streamtrans.nn.cache import Cells, KeyValueCache, Seen
from streamtrans.nn.streaming import State, Streaming


class FeedForward(nn.Module):
    """Gated feed-forward, SwiGLU (Shazeer 2020, eq. 6). Position-wise, so it has no state."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(dim, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class EncoderLayer(Streaming[KeyValueCache]):
    """Causal self-attention and feed-forward, each on a normalised input and added to it."""

    def __init__(self, dim: int, heads: int, hidden: int, window: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, bias=False)
        self.attention = CausalAttention(dim, heads, window)
        self.feed_norm = nn.LayerNorm(dim, bias=False)
        self.feed = FeedForward(dim, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def init_state(self, batch: int) -> KeyValueCache:
        """The attention's cache is all there is."""
        return self.attention.init_state(batch)

    def step(
        self,
        x: Tensor,
        state: KeyValueCache,
        lengths: Tensor | None = None,
        plan: Plan | None = None,
    ) -> tuple[Tensor, KeyValueCache]:
        """(B, T, D), cache -> (B, T, D), cache."""
        y, state = self.attention.step(self.attention_norm(x), state, lengths, plan)
        x = x + y
        return x + self.feed(self.feed_norm(x)), state


@dataclass
class DecoderLayerState(State):
    """own: cache of target positions; source: memory of source positions."""

    own: KeyValueCache
    source: KeyValueCache


@dataclass(frozen=True)
class DecoderPlan:
    """own: of the self-attention; source: what cross-attention sees."""

    own: Plan
    source: tuple[Seen, Tensor]


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention over the READ prefix, feed-forward."""

    def __init__(
        self, dim: int, heads: int, hidden: int, window: int, source_cells: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, bias=False)
        self.attention = CausalAttention(dim, heads, window)
        self.cross_norm = nn.LayerNorm(dim, bias=False)
        self.cross = CrossAttention(dim, heads, source_cells)
        self.feed_norm = nn.LayerNorm(dim, bias=False)
        self.feed = FeedForward(dim, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """x: (B, U, D), memory: (B, S, D), visible: (B, U) -> (B, U, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        x = x + self.dropout(self.cross(self.cross_norm(x), memory, visible))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def init_state(self, batch: int) -> DecoderLayerState:
        """Two empty caches."""
        return DecoderLayerState(self.attention.init_state(batch), self.cross.init_state(batch))

    def append(
        self,
        memory: Tensor,
        state: DecoderLayerState,
        lengths: Tensor | None,
        cells: Cells | None = None,
    ) -> DecoderLayerState:
        """More source to attend to. memory: (B, T, D)."""
        source = self.cross.append(memory, state.source, lengths, cells)
        return DecoderLayerState(state.own, source)

    def plan(self, state: DecoderLayerState, time: int) -> DecoderPlan:
        """What a step needs to know, the same for all layers of a stack."""
        return DecoderPlan(self.attention.plan(state.own, time), self.cross.plan(state.source))

    def step(
        self, x: Tensor, state: DecoderLayerState, plan: DecoderPlan | None = None
    ) -> tuple[Tensor, DecoderLayerState]:
        """x: (B, U, D), state -> (B, U, D), state."""
        plan = plan or self.plan(state, x.shape[1])
        y, own = self.attention.step(self.attention_norm(x), state.own, plan=plan.own)
        x = x + y
        x = x + self.cross.step(self.cross_norm(x), state.source, plan.source)
        return x + self.feed(self.feed_norm(x)), DecoderLayerState(own, state.source)
