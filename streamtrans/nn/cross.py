"""Cross-attention: from target positions to the source positions READ so far.

All kinds share one face, so that a decoder layer takes any of them. It does not know tokens or policies: how much of
the source a target position may see comes in as a number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from streamtrans.nn.attention import attend, hiding, merge_heads, split_heads
from streamtrans.nn.cache import Cells, KeyValueCache, Seen
from streamtrans.nn.streaming import State

S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Sight:
    """What a step sees of the source, the same for all layers of a stack. hidden: (B, 1, 1, S), from `hiding`."""

    seen: Seen
    hidden: Tensor


class Cross(nn.Module, ABC, Generic[S]):
    """The law, with the source as a second stream: appending memory piece by piece and stepping over the target in
    between equals `forward` with `visible[b, t]` = source positions appended before target position t.
    """

    @abstractmethod
    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """x: (B, U, D), memory: (B, S, D), visible: (B, U) from 1 to S, not falling -> (B, U, D), and the expected
        alignment (B, H, U, S) of an attention that learns when to WRITE.
        """

    @abstractmethod
    def init_state(self, batch: int) -> S:
        """No source yet."""

    @abstractmethod
    def append(
        self,
        memory: Tensor,
        state: S,
        lengths: Tensor | None = None,
        cells: Cells | None = None,
    ) -> S:
        """More source. memory: (B, T, D), lengths: (B,) of the T that count, cells: from `cells`, if asked already."""

    @abstractmethod
    def step(
        self, x: Tensor, state: S, sight: Sight | None = None
    ) -> tuple[Tensor, Tensor | None, S]:
        """x: (B, U, D) sees all that was appended -> (B, U, D), stopped, state.

        stopped: (B,) bool, whether each head found where to stop within what was appended; None if it does not ask.
        """

    def cells(self, state: S, time: int, lengths: Tensor | None) -> Cells | None:
        """Where new source positions go, the same for all layers of a stack."""
        return None

    def sight(self, state: S) -> Sight | None:
        """What a step sees, the same for all layers of a stack."""
        return None


@dataclass
class LastState(State):
    """last: (B, D), the newest source position."""

    last: Tensor


class FixedContext(Cross[LastState]):
    """One vector for the whole source: the encoder's newest output (Cho et al. 2014, eq. 3; Sutskever et al. 2014)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """The output at the last visible position."""
        index = (visible - 1)[..., None].expand(-1, -1, memory.shape[-1])
        return self.out(memory.gather(1, index)), None

    def init_state(self, batch: int) -> LastState:
        """Zeros."""
        return LastState(self.out.weight.new_zeros(batch, self.out.in_features))

    def append(
        self,
        memory: Tensor,
        state: LastState,
        lengths: Tensor | None = None,
        cells: Cells | None = None,
    ) -> LastState:
        """Only the newest position stays."""
        if lengths is None:
            return LastState(memory[:, -1])
        index = (lengths - 1)[:, None, None].expand(-1, 1, memory.shape[-1])
        return LastState(memory.gather(1, index)[:, 0])

    def step(
        self, x: Tensor, state: LastState, sight: Sight | None = None
    ) -> tuple[Tensor, Tensor | None, LastState]:
        """The same vector at each position."""
        return self.out(state.last)[:, None].expand(-1, x.shape[1], -1), None, state


class AdditiveEnergy(nn.Module):
    """v tanh(q + k) for each head (Bahdanau et al. 2015, appendix A.1.2), q and k projected already."""

    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.randn(heads, dim // heads) * (dim // heads) ** -0.5)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """(B, H, U, Dh), (B, H, S, Dh) -> (B, H, U, S)."""
        mixed = torch.tanh(query[:, :, :, None] + key[:, :, None])
        return (mixed @ self.v[:, None, :, None].to(mixed.dtype))[..., 0]


def dot_energy(query: Tensor, key: Tensor) -> Tensor:
    """Scaled dot product (Vaswani et al. 2017, eq. 1, within the softmax): -> (B, H, U, S)."""
    return (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)


class CrossAttention(Cross[KeyValueCache]):
    """Softmax attention over all that was READ: multi-head (Vaswani et al. 2017), or with one head the dot product of
    Luong et al. 2015 or, `additive`, the attention of Bahdanau et al. 2015.
    """

    def __init__(self, dim: int, heads: int, cells: int, additive: bool = False) -> None:
        super().__init__()
        self.heads, self.memory_cells = heads, cells
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.energy = AdditiveEnergy(heads, dim) if additive else None

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, U, D), (B, S, D), (B, U) -> (B, U, D), None."""
        key, value = self._keys_values(memory)
        source = torch.arange(memory.shape[1], device=x.device)
        hidden = hiding((source < visible[..., None])[:, None], key.dtype)
        return self._attend(x, key, value, hidden), None

    def init_state(self, batch: int) -> KeyValueCache:
        """An empty source memory."""
        device, dtype = self.out.weight.device, self.out.weight.dtype
        return KeyValueCache.zeros(
            batch, self.memory_cells, self.out.in_features, device, dtype, self.heads
        )

    def append(
        self,
        memory: Tensor,
        state: KeyValueCache,
        lengths: Tensor | None = None,
        cells: Cells | None = None,
    ) -> KeyValueCache:
        """Keys and values of new source positions, computed once."""
        key, value = self._keys_values(memory)
        return state.append(key, value, lengths, cells)

    def step(
        self, x: Tensor, state: KeyValueCache, sight: Sight | None = None
    ) -> tuple[Tensor, Tensor | None, KeyValueCache]:
        """(B, U, D) -> (B, U, D)."""
        sight = sight or self.sight(state)
        keys, values, _ = state.read(sight.seen)
        return self._attend(x, keys, values, sight.hidden), None, state

    def cells(self, state: KeyValueCache, time: int, lengths: Tensor | None) -> Cells:
        """Cells of the ring."""
        return state.cells_for(time, lengths)

    def sight(self, state: KeyValueCache) -> Sight:
        """All cells in use."""
        seen = state.seen()
        return Sight(seen, hiding((seen.position >= 0)[:, None, None], self.out.weight.dtype))

    def _keys_values(self, memory: Tensor) -> tuple[Tensor, ...]:
        return split_heads(self.key_value(memory), 2 * self.heads).chunk(2, dim=1)

    def _attend(self, x: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
        query = split_heads(self.query(x), self.heads)
        if self.energy is None:
            return self.out(attend(query, key, value, hidden))
        weights = (self.energy(query, key) + hidden).softmax(-1)
        return self.out(merge_heads(weights @ value))
