"""Keys and values of past positions, appended in place.

A cache is the one state too large to copy in and out of a pool at each step: `take` gives a view of some rows that
appends into the pool itself. It is a ring: position p lies in cell p % cells, so memory is bounded however long the
stream. It knows nothing of queries, heads or projections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from streamtrans.nn.streaming import State


def _untouched(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Zeros that cost no memory until they are written: torch.zeros writes each page, a thousand slots take 7 s."""
    if device.type != "cpu":
        return torch.zeros(shape, device=device, dtype=dtype)
    zeros = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(zeros).view(dtype).view(shape)


@dataclass(frozen=True)
class Cells:
    """Where new positions go (index: (B H T,) into all cells) and how long rows then are (length: (B,)).

    The same for all layers of a stack, which therefore ask once.
    """

    index: Tensor
    length: Tensor


@dataclass(frozen=True)
class Seen:
    """position: (B, S) held by each cell, negative where empty; index: (B H S,) into all cells, None for all rows."""

    position: Tensor
    index: Tensor | None


@dataclass
class KeyValueCache(State):
    """keys, values: (N, H, cells + 1, Dh), Dh of each its own; length: (B,) positions appended so far; rows: (B,)
    of the N, None for all.

    The last cell takes what padding would write, so that appending has one shape on every device.
    """

    keys: Tensor
    values: Tensor
    length: Tensor
    rows: Tensor | None = None

    @classmethod
    def zeros(
        cls,
        batch: int,
        cells: int,
        dim: int,
        device: torch.device,
        dtype: torch.dtype,
        heads: int = 1,
        key_dim: int | None = None,
    ) -> KeyValueCache:
        """An empty cache of `batch` rows. dim: of the values, and of the keys unless key_dim says otherwise."""
        key = (batch, heads, cells + 1, (key_dim or dim) // heads)
        value = (batch, heads, cells + 1, dim // heads)
        length = torch.zeros(batch, device=device, dtype=torch.long)
        return cls(_untouched(key, device, dtype), _untouched(value, device, dtype), length)

    @property
    def cells(self) -> int:
        """How many positions the ring holds."""
        return self.keys.shape[2] - 1

    def take(self, rows: Tensor) -> KeyValueCache:
        """A view of some rows: appending to it appends to this cache."""
        cells = rows if self.rows is None else self.rows.index_select(0, rows)
        return KeyValueCache(self.keys, self.values, self.length.index_select(0, rows), cells)

    def put(self, rows: Tensor, state: State) -> None:
        """Only the lengths travel: keys and values were appended in place."""
        assert isinstance(state, KeyValueCache)
        self.length.index_copy_(0, rows, state.length)

    def reorder(self, rows: Tensor, since: State | None = None) -> KeyValueCache:
        """Copies the cells in use of rows that change, in place; none if nothing was appended after `since`."""
        assert since is None or isinstance(since, KeyValueCache)
        if since is None or not torch.equal(self.length, since.length):
            self._copy(rows)
        return replace(self, length=self.length.index_select(0, rows))

    def _copy(self, rows: Tensor) -> None:
        """Row and head at once: copying slices of four dimensions takes twice as long."""
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        planes = self._planes() // (self.cells + 1)  # (B, H)
        into = planes.index_select(0, moved).flatten()
        out_of = planes.index_select(0, rows.index_select(0, moved)).flatten()
        for cells in (self.keys, self.values):
            used = cells.flatten(0, 1).flatten(1)[:, : self._span(self.length) * cells.shape[3]]
            used.index_copy_(0, into, used.index_select(0, out_of))

    def reset(self, rows: Tensor) -> None:
        """Forget: what lies beyond `length` is never read."""
        self.length.index_fill_(0, rows, 0)

    def cells_for(self, time: int, lengths: Tensor | None = None) -> Cells:
        """Where the next `time` positions of each row go; lengths: (B,) how many of them count."""
        if time > self.cells:
            raise ValueError(f"a piece of {time} positions does not fit a cache of {self.cells}")
        steps = torch.arange(time, device=self.length.device)
        cell = (self.length[:, None] + steps) % self.cells  # (B, T)
        if lengths is not None:
            cell = torch.where(steps < lengths[:, None], cell, self.cells)
        index = (self._planes()[..., None] + cell[:, None]).flatten()
        return Cells(index, self.length + (time if lengths is None else lengths))

    def append(
        self,
        keys: Tensor,
        values: Tensor,
        lengths: Tensor | None = None,
        cells: Cells | None = None,
    ) -> KeyValueCache:
        """keys, values: (B, H, T, Dh), T at most `cells`. cells: of `cells_for`, if that was asked already."""
        cells = cells or self.cells_for(keys.shape[2], lengths)
        for held, new in ((self.keys, keys), (self.values, values)):
            dim = new.shape[3]
            held.view(-1, dim).index_copy_(0, cells.index, new.reshape(-1, dim))
        return KeyValueCache(self.keys, self.values, cells.length, self.rows)

    def seen(self, length: Tensor | None = None) -> Seen:
        """Which cells can be attended to once `length` (B,) positions are appended (None: now).

        As many as the longest row has on the CPU, and all on a device, where asking for the longest would wait.
        """
        length = self.length if length is None else length
        span = self._span(length)
        cell = torch.arange(span, device=length.device)
        last = length[:, None] - 1
        position = last - (last - cell) % self.cells
        if self.rows is None:
            return Seen(position, None)
        return Seen(position, (self._planes()[..., None] + cell).flatten())

    def read(self, seen: Seen | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """keys, values (B, H, S, Dh) and position (B, S), negative where a cell is empty."""
        seen = seen or self.seen()
        batch, span = seen.position.shape
        if seen.index is None:
            return self.keys[:, :, :span], self.values[:, :, :span], seen.position
        keys, values = (
            held.view(-1, held.shape[3])
            .index_select(0, seen.index)
            .view(batch, held.shape[1], span, held.shape[3])
            for held in (self.keys, self.values)
        )
        return keys, values, seen.position

    def _span(self, length: Tensor) -> int:
        if length.device.type != "cpu":
            return self.cells
        return max(1, min(self.cells, int(length.max())))

    def _planes(self) -> Tensor:
        """The first cell of each row and head among all cells: (B, H)."""
        rows, heads = self.rows, self.keys.shape[1]
        if rows is None:
            rows = torch.arange(self.keys.shape[0], device=self.keys.device)
        head = torch.arange(heads, device=self.keys.device)
        return (rows[:, None] * heads + head) * (self.cells + 1)
