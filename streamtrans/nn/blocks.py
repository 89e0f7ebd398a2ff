"""Layers assembled from attention or recurrence, cross-attention and feed-forward: pre-norm, residual, no biases.

It knows how sublayers are put together, and nothing of vocabularies or READ and WRITE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.nn.attention import CausalAttention, Plan
from streamtrans.nn.cache import Cells, KeyValueCache
from streamtrans.nn.cross import Cross, Sight
from streamtrans.nn.recurrent import Recurrent
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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D). mask: what each position sees instead of its past, for offline encoders."""
        y = self.attention_norm(x)
        y = self.attention(y) if mask is None else self.attention.under(y, mask)
        x = x + self.dropout(y)
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
    """own: of the target positions; source: what cross-attention keeps, () without one."""

    own: Any
    source: Any


@dataclass(frozen=True)
class DecoderPlan:
    """What a step needs to know, the same for all layers of a stack: own, of the self-attention, and sight of the
    source.
    """

    own: Plan | None
    sight: Sight | None


class DecoderLayer(nn.Module, ABC):
    """A look back over the target, a look at the READ prefix of the source, and what follows.

    cross: None for the upper layers of a recurrent decoder.
    """

    def __init__(self, dim: int, cross: Cross[Any] | None, dropout: float) -> None:
        super().__init__()
        if cross is not None:
            self.cross_norm = nn.LayerNorm(dim, bias=False)
        self.cross = cross
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """x: (B, U, D), memory: (B, S, D), visible: (B, U) -> (B, U, D), alignment as `Cross.forward` gives it."""
        x, alignment = self.look_back(x), None
        if self.cross is not None:
            y, alignment = self.cross(self.cross_norm(x), memory, visible)
            x = x + self.dropout(y)
        return self.finish(x), alignment

    def init_state(self, batch: int) -> DecoderLayerState:
        """Nothing written, nothing READ."""
        source = () if self.cross is None else self.cross.init_state(batch)
        return DecoderLayerState(self.init_own(batch), source)

    def append(
        self,
        memory: Tensor,
        state: DecoderLayerState,
        lengths: Tensor | None,
        cells: Cells | None = None,
    ) -> DecoderLayerState:
        """More source to attend to. memory: (B, T, D). cells: from `cells` of a layer of the same stack."""
        if self.cross is None:
            return state
        return DecoderLayerState(state.own, self.cross.append(memory, state.source, lengths, cells))

    def cells(self, state: DecoderLayerState, time: int, lengths: Tensor | None) -> Cells | None:
        """Where new source positions go."""
        return self.cross.cells(state.source, time, lengths) if self.cross else None

    def plan(self, state: DecoderLayerState, time: int) -> DecoderPlan:
        """Made once and handed to each layer of the stack."""
        sight = self.cross.sight(state.source) if self.cross else None
        return DecoderPlan(self.plan_own(state.own, time), sight)

    def step(
        self, x: Tensor, state: DecoderLayerState, plan: DecoderPlan | None = None
    ) -> tuple[Tensor, Tensor | None, DecoderLayerState]:
        """x: (B, U, D), state -> (B, U, D), stopped as `Cross.step` gives it, state."""
        plan = plan or self.plan(state, x.shape[1])
        x, own = self.step_back(x, state.own, plan.own)
        source, stopped = state.source, None
        if self.cross is not None:
            y, stopped, source = self.cross.step(self.cross_norm(x), source, plan.sight)
            x = x + y
        return self.finish(x), stopped, DecoderLayerState(own, source)

    @abstractmethod
    def look_back(self, x: Tensor) -> Tensor:
        """Each position and its past: (B, U, D) -> (B, U, D)."""

    @abstractmethod
    def init_own(self, batch: int) -> Any:
        """The state of `step_back`."""

    def plan_own(self, state: Any, time: int) -> Plan | None:
        """What `step_back` needs to know beside its input."""
        return None

    @abstractmethod
    def step_back(self, x: Tensor, state: Any, plan: Plan | None) -> tuple[Tensor, Any]:
        """`look_back`, piece by piece."""

    def finish(self, x: Tensor) -> Tensor:
        """After the look at the source."""
        return x


class TransformerDecoderLayer(DecoderLayer):
    """Causal self-attention, cross-attention, feed-forward."""

    def __init__(
        self, dim: int, heads: int, hidden: int, window: int, cross: Cross[Any], dropout: float
    ) -> None:
        super().__init__(dim, cross, dropout)
        self.attention_norm = nn.LayerNorm(dim, bias=False)
        self.attention = CausalAttention(dim, heads, window)
        self.feed_norm = nn.LayerNorm(dim, bias=False)
        self.feed = FeedForward(dim, hidden)

    def look_back(self, x: Tensor) -> Tensor:
        """Self-attention."""
        return x + self.dropout(self.attention(self.attention_norm(x)))

    def init_own(self, batch: int) -> KeyValueCache:
        """A cache."""
        return self.attention.init_state(batch)

    def plan_own(self, state: KeyValueCache, time: int) -> Plan:
        """Of the self-attention."""
        return self.attention.plan(state, time)

    def step_back(
        self, x: Tensor, state: KeyValueCache, plan: Plan | None
    ) -> tuple[Tensor, KeyValueCache]:
        """Self-attention over the cache."""
        y, state = self.attention.step(self.attention_norm(x), state, plan=plan)
        return x + y, state

    def finish(self, x: Tensor) -> Tensor:
        """Feed-forward."""
        return x + self.dropout(self.feed(self.feed_norm(x)))


class RecurrentDecoderLayer(DecoderLayer):
    """A GRU or LSTM whose output asks the source: the query is the state after the newest target piece, as in Luong
    et al. 2015, section 3, so that training needs no loop over the target.
    """

    def __init__(
        self, dim: int, recurrent: Recurrent[Any], cross: Cross[Any] | None, dropout: float
    ) -> None:
        super().__init__(dim, cross, dropout)
        self.recurrent = recurrent

    def look_back(self, x: Tensor) -> Tensor:
        """Recurrence, its residual connection inside."""
        return self.recurrent(x)

    def init_own(self, batch: int) -> State:
        """Zeros."""
        return self.recurrent.init_state(batch)

    def step_back(self, x: Tensor, state: Any, plan: Plan | None) -> tuple[Tensor, Any]:
        """One piece on."""
        return self.recurrent.step(x, state)
