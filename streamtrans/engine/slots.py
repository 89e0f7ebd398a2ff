"""The state pool: one row of the model's state per session, taken and given back.

It knows rows and states of any kind. It does not know sessions or models beyond `init_state`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamtrans.models.model import Model, ModelState


class Slots:
    """A pool of `size` rows, and `spare` more for copies. Untouched rows of zeros cost address space, not memory."""

    def __init__(self, model: Model, size: int, spare: int = 0) -> None:
        self.size = size
        self.state: ModelState = model.init_state(size + spare)
        self._spare = torch.arange(size, size + spare, device=model.embedding.weight.device)
        self._free = list(range(size - 1, -1, -1))

    @property
    def free(self) -> int:
        """How many rows nobody holds."""
        return len(self._free)

    @property
    def next(self) -> int:
        """The row that `acquire` would give."""
        return self._free[-1]

    def acquire(self) -> int:
        """A clean row. The caller has seen that one is free."""
        return self._free.pop()

    def release(self, row: int) -> None:
        """Give a row back; it must have been reset."""
        self._free.append(row)

    def take(self, rows: Tensor) -> ModelState:
        """The state of some rows, caches in place."""
        return self.state.take(rows)

    def put(self, rows: Tensor, state: ModelState) -> None:
        """Keep what a step made of it."""
        self.state.put(rows, state)

    def copies(self, rows: Tensor, width: int, skip: int = 0) -> ModelState:
        """`width` copies of what each row WRITEs from, in spare rows behind the first `skip`: stepping them changes no
        other row. They are good until copies into the same rows are asked for again.
        """
        count = len(rows)
        spare = self._spare[skip : skip + count * width]
        some = self.state.take(torch.cat((rows, spare)))
        order = torch.arange(count * (1 + width), device=rows.device)
        order[count:] = (order[count:] - count) // width
        decoder = tuple(layer.reorder(order) for layer in some.decoder)
        return ModelState(some.encoder, decoder).take(order.new_tensor(range(count, len(order))))

    def reset(self, rows: Tensor) -> None:
        """Make rows new."""
        self.state.reset(rows)
