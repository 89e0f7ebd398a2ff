"""Keys and values of past positions, appended in place.

A cache is the one state too large to copy in and out of a pool at each step: `take` gives a view of some rows that
appends into the pool itself. It is a ring: position p lies in cell p % cells, so memory is bounded however long the
stream. It knows nothing of queries, heads or projections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamtrans.nn.streaming import State


@dataclass
class KeyValueCache(State):
    """keys, values: (N, cells + 1, D); length: (B,) positions appended so far; rows: (B,) of the N, None for all.

    The last cell takes what padding would write, so that appending has one shape on every device.
    """

    keys: Tensor
    values: Tensor
    length: Tensor
    rows: Tensor | None = None

    @classmethod
    def zeros(
        cls, batch: int, cells: int, dim: int, device: torch.device, dtype: torch.dtype
    ) -> KeyValueCache:
        """An empty cache of `batch` rows."""
        keys = torch.zeros(batch, cells + 1, dim, device=device, dtype=dtype)
        length = torch.zeros(batch, device=device, dtype=torch.long)
        return cls(keys, torch.zeros_like(keys), length)

    @property
    def cells(self) -> int:
        """How many positions the ring holds."""
        return self.keys.shape[1] - 1

    def take(self, rows: Tensor) -> KeyValueCache:
        """A view of some rows: appending to it appends to this cache."""
        cells = rows if self.rows is None else self.rows.index_select(0, rows)
        return KeyValueCache(self.keys, self.values, self.length.index_select(0, rows), cells)

    def put(self, rows: Tensor, state: State) -> None:
        """Only the lengths travel: keys and values were appended in place."""
        assert isinstance(state, KeyValueCache)
        self.length.index_copy_(0, rows, state.length)

    def reset(self, rows: Tensor) -> None:
        """Forget: what lies beyond `length` is never read."""
        self.length.index_fill_(0, rows, 0)

    def append(self, keys: Tensor, values: Tensor, lengths: Tensor | None = None) -> KeyValueCache:
        """keys, values: (B, T, D), lengths: (B,) how many of the T count. T must not exceed `cells`."""
        batch, time, dim = keys.shape
        if time > self.cells:
            raise ValueError(f"a piece of {time} positions does not fit a cache of {self.cells}")
        steps = torch.arange(time, device=keys.device)
        cell = (self.length[:, None] + steps) % self.cells  # (B, T)
        if lengths is not None:
            cell = torch.where(steps < lengths[:, None], cell, self.cells)
        index = (self._rows()[:, None] * (self.cells + 1) + cell).flatten()
        self.keys.view(-1, dim).index_copy_(0, index, keys.reshape(-1, dim))
        self.values.view(-1, dim).index_copy_(0, index, values.reshape(-1, dim))
        grown = self.length + (time if lengths is None else lengths)
        return KeyValueCache(self.keys, self.values, grown, self.rows)

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """What can be attended to: keys, values (B, S, D) and position (B, S), negative where a cell is empty.

        S is the longest row on the CPU, and all cells on a device, where asking for the longest would wait.
        """
        span = self.cells
        if self.length.device.type == "cpu":
            span = max(1, min(span, int(self.length.max())))
        cell = torch.arange(span, device=self.keys.device)
        last = self.length[:, None] - 1
        position = last - (last - cell) % self.cells  # (B, S)
        if self.rows is None:
            return self.keys[:, :span], self.values[:, :span], position
        index = (self.rows[:, None] * (self.cells + 1) + cell).flatten()
        shape = (len(self.rows), span, self.keys.shape[2])
        keys = self.keys.view(-1, shape[2]).index_select(0, index).view(shape)
        values = self.values.view(-1, shape[2]).index_select(0, index).view(shape)
        return keys, values, position

    def _rows(self) -> Tensor:
        if self.rows is not None:
            return self.rows
        return torch.arange(self.keys.shape[0], device=self.keys.device)
