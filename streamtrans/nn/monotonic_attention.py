"""Monotonic attention as a module: in training the expected alignment over all stops, in use hard decisions, one by
one.

The mathematics is in monotonic.py. It does not know tokens or policies: whether to wait for more source is for others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtrans.nn.attention import hiding, merge_heads, split_heads
from streamtrans.nn.cache import Cells, KeyValueCache
from streamtrans.nn.cross import AdditiveEnergy, Cross, Sight, dot_energy
from streamtrans.nn.monotonic import (
    expected_alignment,
    expected_chunk,
    expected_lookback,
    hard_alignment,
)
from streamtrans.nn.streaming import State


@dataclass
class MonotonicState(State):
    """source: keys and values of what was READ; position: (B, H), where each head stopped last."""

    source: KeyValueCache
    position: Tensor


class MonotonicAttention(Cross[MonotonicState]):
    """Each head scans the source from where it stopped last and stops where its energy is not negative; then it
    attends to that position and up to `lookback` - 1 before it.

    lookback 1: hard monotonic (Raffel et al. 2017), w: MoChA (Chiu & Raffel 2018), None: MILk (Arivazhagan et al.
    2019); with several heads in each layer of a Transformer MMA-H and MMA-IL (Ma et al. 2020). A head that finds no
    stop within what it sees rests at the last position it sees; so does, with probability 1, the expected alignment.
    """

    def __init__(
        self, dim: int, heads: int, cells: int, lookback: int | None, additive: bool
    ) -> None:
        super().__init__()
        self.heads, self.memory_cells, self.lookback = heads, cells, lookback
        self.kinds = (
            1 if lookback == 1 else 2
        )  # energies: to stop, and among what is looked back at
        self.query = nn.Linear(dim, self.kinds * dim, bias=False)
        self.key = nn.Linear(dim, self.kinds * dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, 1, 1))
        self.energies = nn.ModuleList(
            AdditiveEnergy(heads, dim) for _ in range(self.kinds if additive else 0)
        )

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, Tensor | None]:
        """Training: the expected alignment, energies with noise, so that hard decisions come to be safe (Raffel et al.
        2017, section 2.5). Else: hard decisions, no alignment.
        """
        stop, soft = self._energy(x, self._split(self.key(memory)))
        value = split_heads(self.value(memory), self.heads)
        visible = visible[:, None]  # (B, 1, U)
        if not self.training:
            position = hard_alignment(stop >= 0, visible)
            return self._attend(position, soft, value), None
        source = torch.arange(memory.shape[1], device=x.device)
        chance = (stop.float() + torch.randn_like(stop, dtype=torch.float32)).sigmoid()
        last = visible[..., None] - 1
        chance = chance.masked_fill(source == last, 1.0).masked_fill(source > last, 0.0)
        alignment = weights = expected_alignment(chance)
        if soft is not None:
            soft = soft.float() + hiding(source <= last, torch.float32)
            if self.lookback is None:
                weights = expected_lookback(alignment, soft)
            else:
                weights = expected_chunk(alignment, soft, self.lookback)
        return self.out(merge_heads(weights.to(value.dtype) @ value)), alignment

    def init_state(self, batch: int) -> MonotonicState:
        """No source, all heads at its beginning."""
        weight, dim = self.out.weight, self.out.in_features
        source = KeyValueCache.zeros(
            batch, self.memory_cells, dim, weight.device, weight.dtype, self.heads, self.kinds * dim
        )
        position = torch.zeros(batch, self.heads, dtype=torch.long, device=weight.device)
        return MonotonicState(source, position)

    def append(
        self,
        memory: Tensor,
        state: MonotonicState,
        lengths: Tensor | None = None,
        cells: Cells | None = None,
    ) -> MonotonicState:
        """Keys and values of new source positions, computed once."""
        keys = torch.cat(self._split(self.key(memory)), dim=-1)
        value = split_heads(self.value(memory), self.heads)
        return MonotonicState(state.source.append(keys, value, lengths, cells), state.position)

    def step(
        self, x: Tensor, state: MonotonicState, sight: Sight | None = None
    ) -> tuple[Tensor, Tensor | None, MonotonicState]:
        """(B, U, D) -> (B, U, D), stopped: did each head stop of its own accord at the last of the U, state."""
        sight = sight or self.sight(state)
        keys, values, _ = state.source.read(sight.seen)
        stop, soft = self._energy(x, keys.chunk(self.kinds, dim=-1))
        visible = state.source.length.clamp(min=1)[:, None, None].expand(-1, 1, x.shape[1])
        position = hard_alignment(stop >= 0, visible, state.position)
        stopped = stop[:, :, -1].gather(2, position[:, :, -1:])[..., 0] >= 0
        y = self._attend(position, soft, values)
        return y, stopped.all(1), MonotonicState(state.source, position[..., -1])

    def cells(self, state: MonotonicState, time: int, lengths: Tensor | None) -> Cells:
        """Cells of the ring."""
        return state.source.cells_for(time, lengths)

    def sight(self, state: MonotonicState) -> Sight:
        """All cells in use; cell j holds position j, as a segment fits the memory."""
        seen = state.source.seen()
        return Sight(seen, hiding((seen.position >= 0)[:, None, None], self.out.weight.dtype))

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        return split_heads(x, self.kinds * self.heads).chunk(self.kinds, dim=1)

    def _energy(self, x: Tensor, keys: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """To stop, and to look back: (B, H, U, S) each."""
        queries = self._split(self.query(x))
        score: list[Callable[[Tensor, Tensor], Tensor]] = [*self.energies] or [
            dot_energy
        ] * self.kinds
        found = [e(q, k) for e, q, k in zip(score, queries, keys, strict=True)]
        return found[0] + self.bias, found[1] if self.kinds == 2 else None

    def _attend(self, position: Tensor, soft: Tensor | None, value: Tensor) -> Tensor:
        """Where the heads stopped, and back. position: (B, H, U), soft: (B, H, U, S), value: (B, H, S, Dh) -> (B, U,
        D).
        """
        if soft is None:
            index = position[..., None].expand(-1, -1, -1, value.shape[-1])
            return self.out(merge_heads(value.gather(2, index)))
        back = position[..., None] - torch.arange(value.shape[2], device=value.device)
        mask = (back >= 0) & (back < (self.lookback or value.shape[2]))
        return self.out(merge_heads((soft + hiding(mask, soft.dtype)).softmax(-1) @ value))
