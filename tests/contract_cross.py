"""The law of cross-attention as one check: the source is a second stream, which grows while the target is written.

    appending memory piece by piece and stepping over the target in between == forward(x, memory, visible)

in eval mode, in float64, for any cutting of the source and any interleaving of the rows. What it does not say: that
`forward` is right. Each module's test compares that with plain torch.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from contract import HUGE, TOLERANCE, Broken, tensors
from torch import Tensor

from streamtrans.nn.cross import Cross
from streamtrans.nn.streaming import State


def verify_cross(
    module: Cross[Any], x: Tensor, memory: Tensor, visible: Tensor, seed: int = 0
) -> None:
    """Raise Broken unless `module` obeys the law for x: (B, U, D), memory: (B, S, D), visible: (B, U), not falling."""
    law = _Law(copy.deepcopy(module).double().eval(), x.double(), memory.double(), visible, seed)
    with torch.no_grad():
        law.starts_with_zeros()
        law.rows_are_independent()
        law.what_is_not_visible_is_not_seen()
        law.any_interleaving_is_the_whole()
        law.a_reused_row_is_clean()
        law.a_step_not_kept_never_was()


@dataclass
class _Law:
    module: Cross[Any]
    x: Tensor
    memory: Tensor
    visible: Tensor
    seed: int
    at: list[int] = field(default_factory=list)  # target positions each row has written
    read: list[int] = field(default_factory=list)  # source positions each row has appended

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.noise = torch.Generator().manual_seed(self.seed)
        self.rows, self.time = self.visible.shape
        with torch.no_grad():
            self.whole = self._forward(self.x, self.memory, self.visible)

    # --- the parts of the law ---------------------------------------------------------------------

    def starts_with_zeros(self) -> None:
        for tensor in tensors(self.module.init_state(self.rows)):
            if len(tensor) != self.rows or tensor.count_nonzero():
                raise Broken("a new state is not zeros, batch first")

    def rows_are_independent(self) -> None:
        rows = (self._forward(*(z[b : b + 1] for z in (self.x, self.memory, self.visible)))
                for b in range(self.rows))  # fmt: skip
        self._same(torch.cat(list(rows)), "forward of a batch is not forward of its rows")

    def what_is_not_visible_is_not_seen(self) -> None:
        memory = torch.cat((self.memory, self._rubbish(self.rows, 3) * HUGE), dim=1)
        later = torch.arange(memory.shape[1]) >= self.visible.max(1, keepdim=True).values
        memory = torch.where(later[..., None], self._rubbish(1, 1) * HUGE, memory)
        y = self._forward(self.x, memory, self.visible)
        self._same(y, "forward sees what is not visible")

    def any_interleaving_is_the_whole(self) -> None:
        for ragged in (False, True):
            pool = self.module.init_state(self.rows)
            y = self._serve(pool, list(range(self.rows)), ragged=ragged)
            self._same(y, "appends and steps are not forward")

    def a_reused_row_is_clean(self) -> None:
        """In a larger pool, in shuffled rows, while rows beside them are filled with rubbish and reset."""
        pool = self.module.init_state(2 * self.rows + 1)
        order = self.rng.permutation(2 * self.rows + 1)
        rows, others = order[: self.rows].tolist(), order[self.rows :].tolist()
        self._spoil(pool, rows)
        pool.reset(torch.tensor(rows))
        y = self._serve(pool, rows, ragged=True, others=others)
        self._same(y, "a reused row, or one of a larger pool, is not clean")

    def a_step_not_kept_never_was(self) -> None:
        """Between the steps that count come steps that do not, as when an engine finds a confidence too low."""
        y = self._serve(self.module.init_state(self.rows), list(range(self.rows)), drop=True)
        self._same(y, "a step whose state was not kept left a trace")

    # --- ways to run ------------------------------------------------------------------------------

    def _forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        return self.module(x, memory, visible)[0]

    def _serve(
        self,
        pool: State,
        rows: list[int],
        ragged: bool = False,
        others: list[int] | None = None,
        drop: bool = False,
    ) -> Tensor:
        """As an engine does: some rows append, or some rows step, each from where it is, until all are through."""
        self.at, self.read = [0] * self.rows, [0] * self.rows
        y = torch.full_like(self.whole, math.nan)
        while waiting := [b for b in range(self.rows) if self.at[b] < self.time]:
            some = [b for b in waiting if self.rng.random() < 0.7] or waiting
            owed = [int(self.visible[b, self.at[b]]) - self.read[b] for b in some]
            if drop and all(self.read[b] for b in some):
                place = torch.tensor([rows[b] for b in some])
                self.module.step(self._rubbish(len(some), 1), pool.take(place))
            if hungry := [b for b, n in zip(some, owed, strict=True) if n]:
                self._append(pool, rows, hungry, ragged)
            else:
                self._step(pool, rows, some, y)
            if others:
                self._spoil(pool, others)
        return y

    def _append(self, pool: State, rows: list[int], some: list[int], ragged: bool) -> None:
        owed = [int(self.visible[b, self.at[b]]) - self.read[b] for b in some]
        lengths = [int(self.rng.integers(1, n + 1)) for n in owed]
        if not ragged:
            lengths = [min(lengths)] * len(some)
        new = torch.full((len(some), max(lengths), self.memory.shape[2]), math.nan).double()
        for i, (b, n) in enumerate(zip(some, lengths, strict=True)):
            new[i, :n] = self.memory[b, self.read[b] : self.read[b] + n]
            self.read[b] += n
        place = torch.tensor([rows[b] for b in some])
        counted = torch.tensor(lengths) if ragged else None
        pool.put(place, self.module.append(new, pool.take(place), counted))

    def _step(self, pool: State, rows: list[int], some: list[int], y: Tensor) -> None:
        """Several target positions at once where all rows see the same for so long."""
        runs = [int((self.visible[b, self.at[b] :] == self.read[b]).sum()) for b in some]
        count = int(self.rng.integers(1, min(runs) + 1))
        x = torch.stack([self.x[b, self.at[b] : self.at[b] + count] for b in some])
        place = torch.tensor([rows[b] for b in some])
        out, _, state = self.module.step(x, pool.take(place))
        pool.put(place, state)
        for b, row in zip(some, out, strict=True):
            y[b, self.at[b] : self.at[b] + count] = row
            self.at[b] += count

    def _spoil(self, pool: State, rows: list[int]) -> None:
        place = torch.tensor(rows)
        pool.reset(place)
        length = int(self.rng.integers(1, self.memory.shape[1] + 1))
        pool.put(
            place, self.module.append(self._rubbish(len(rows), length) * HUGE, pool.take(place))
        )
        for _ in range(2):
            _, _, state = self.module.step(self._rubbish(len(rows), 1) * HUGE, pool.take(place))
            pool.put(place, state)

    def _rubbish(self, rows: int, time: int) -> Tensor:
        shape = (rows, time, self.memory.shape[2])
        return torch.randn(shape, generator=self.noise, dtype=torch.float64)

    def _same(self, y: Tensor, broken: str) -> None:
        if y.shape != self.whole.shape:
            raise Broken(f"{broken}: {tuple(y.shape)} for {tuple(self.whole.shape)}")
        far = (y - self.whole).abs().max().item()
        if not far <= TOLERANCE * max(1.0, self.whole.abs().max().item()):
            raise Broken(f"{broken}: {far:.2g} apart")
