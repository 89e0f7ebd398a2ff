"""The law of streaming modules as one check, which every streaming module's test calls.

    cat(step(x_1), step(x_2), ...) == forward(cat(x_1, x_2, ...))      for every cutting of x

It knows `Streaming` and `State` and nothing of any layer. All of it runs in float64, so that a
difference is a bug and not rounding. What it does not say: that `forward` is right. Each module's
test compares that with plain torch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamtrans.nn.streaming import State, Streaming

TOLERANCE = 1e-9
HUGE = 1e3  # what a row held before it was reset: large, and finite as a real stream is


class Broken(AssertionError):
    """A module that breaks the law; the message says which part of it."""


def verify(
    module: Streaming[Any], x: Tensor, *, piece: int | None = None, padding: float = math.nan
) -> None:
    """Raise Broken unless `module` obeys the law for x: (B, T, D), B and T at least 2.

    piece: the most frames one step takes. padding: what stands where a row has no frame; NaN finds
    the faintest trace, a module that cannot take it (it looks up a table, say) gets a number.
    """
    if x.shape[0] < 2 or x.shape[1] < 2:
        raise ValueError(f"{tuple(x.shape)} has too few rows or frames to break anything")
    law = _Law(copy.deepcopy(module).double().eval(), x.double(), piece or x.shape[1], padding)
    with torch.no_grad():
        law.starts_with_zeros()
        law.rows_are_independent()
        law.any_cutting_is_the_whole()
        law.a_batch_is_its_rows()
        law.rows_have_their_own_position()
        law.padding_leaves_no_trace()
        law.a_reused_row_is_clean()
        law.a_step_not_kept_never_was()


@dataclass
class _Law:
    module: Streaming[Any]
    x: Tensor
    piece: int
    padding: float

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.offline = self.module(self.x)
        self.rows, self.time = self.x.shape[:2]

    # --- the parts of the law ---------------------------------------------------------------------

    def starts_with_zeros(self) -> None:
        for batch in (1, self.rows):
            for tensor in tensors(self.module.init_state(batch)):
                if len(tensor) != batch:
                    raise Broken(f"a state of {batch} rows holds a tensor {tuple(tensor.shape)}")
                if tensor.count_nonzero():
                    raise Broken("a new state is not all zeros")

    def rows_are_independent(self) -> None:
        alone = torch.cat([self.module(row[None]) for row in self.x])
        self._same(alone, self.offline, "forward of a batch is not forward of its rows")

    def any_cutting_is_the_whole(self) -> None:
        ones, most = [1] * self.time, self.piece
        whole = [min(most, self.time - at) for at in range(0, self.time, most)]
        for sizes in (whole, ones, self._cutting(), self._cutting(), self._cutting()):
            y = self._run(self.x, sizes)
            self._same(y, self.offline, f"cut into {sizes} it is not the whole")

    def a_batch_is_its_rows(self) -> None:
        sizes = self._cutting()
        alone = torch.cat([self._run(row[None], sizes) for row in self.x])
        self._same(alone, self.offline, "steps of one row are not steps of a batch")

    def rows_have_their_own_position(self) -> None:
        y = self._serve(self.module.init_state(self.rows), list(range(self.rows)))
        self._same(y, self.offline, "rows at different positions disturb each other")

    def padding_leaves_no_trace(self) -> None:
        state = self.module.init_state(self.rows)
        y = self._serve(state, list(range(self.rows)), ragged=True)
        self._same(y, self.offline, "padding leaves a trace")

    def a_reused_row_is_clean(self) -> None:
        """In a larger pool, in shuffled rows, while rows beside them are stepped with rubbish and
        reset.
        """
        pool = self.module.init_state(2 * self.rows + 1)
        order = self.rng.permutation(2 * self.rows + 1)
        rows, others = order[: self.rows].tolist(), order[self.rows :].tolist()
        for _ in range(3):
            self._spoil(pool, rows)
            self._spoil(pool, others)
        pool.reset(torch.tensor(rows))
        y = self._serve(pool, rows, ragged=True, others=others)
        self._same(y, self.offline, "a reused row, or one of a larger pool, is not clean")

    def a_step_not_kept_never_was(self) -> None:
        """The engine drops a step it does not want: it does not put the state, and the row goes on
        as before.
        """
        y = self._serve(self.module.init_state(self.rows), list(range(self.rows)), drop=True)
        self._same(y, self.offline, "a step whose state was not kept left a trace")

    # --- ways to run ------------------------------------------------------------------------------

    def _run(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        state = self.module.init_state(len(x))
        ys = []
        at = 0
        for size in sizes:
            y, state = self.module.step(x[:, at : at + size], state)
            ys.append(y)
            at += size
        return torch.cat(ys, dim=1)

    def _serve(
        self,
        pool: State,
        rows: list[int],
        ragged: bool = False,
        others: Sequence[int] = (),
        drop: bool = False,
    ) -> Tensor:
        """As an engine does: some rows at a time, in any order, each from where it is, until all
        are through.
        """
        at = [0] * self.rows
        y = torch.full_like(self.offline, math.nan)
        for some in self._turns(at):
            place = torch.tensor([rows[i] for i in some])
            if drop:
                self.module.step(self._rubbish(len(some)), pool.take(place))
            lengths = [int(self.rng.integers(1, self._left(at[i]) + 1)) for i in some]
            if not ragged:
                lengths = [min(lengths)] * len(some)
            out, state = self.module.step(
                self._padded(some, at, lengths, ragged),
                pool.take(place),
                torch.tensor(lengths) if ragged else None,
            )
            pool.put(place, state)
            for i, n, row in zip(some, lengths, out, strict=True):
                y[i, at[i] : at[i] + n] = row[:n]
                at[i] += n
            if others:
                self._spoil(pool, others)
        return y

    def _turns(self, at: list[int]) -> Iterator[list[int]]:
        while waiting := [i for i in range(self.rows) if at[i] < self.time]:
            count = int(self.rng.integers(1, len(waiting) + 1))
            yield self.rng.permutation(waiting)[:count].tolist()

    def _padded(self, some: list[int], at: list[int], lengths: list[int], ragged: bool) -> Tensor:
        longest = max(lengths)
        if ragged and longest < self.piece:
            longest += 1  # a frame that is padding in each row
        part = torch.full_like(self.x[:1, :1], self.padding).repeat(
            len(some), longest, *[1] * (self.x.dim() - 2)
        )
        for row, (i, n) in enumerate(zip(some, lengths, strict=True)):
            part[row, :n] = self.x[i, at[i] : at[i] + n]
        return part

    def _spoil(self, pool: State, rows: Sequence[int]) -> None:
        place = torch.tensor(list(rows))
        _, state = self.module.step(self._rubbish(len(rows)) * HUGE, pool.take(place))
        pool.put(place, state)
        if self.rng.random() < 0.5:
            pool.reset(place[:1])

    def _rubbish(self, rows: int) -> Tensor:
        frames = int(self.rng.integers(1, min(self.piece, self.time) + 1))
        shape = (rows, frames, *self.x.shape[2:])
        return torch.randn(shape, generator=self.noise, dtype=self.x.dtype)

    def _cutting(self) -> list[int]:
        sizes: list[int] = []
        while sum(sizes) < self.time:
            sizes.append(int(self.rng.integers(1, self._left(sum(sizes)) + 1)))
        return sizes

    def _left(self, at: int) -> int:
        return min(self.piece, self.time - at)

    def _same(self, y: Tensor, expected: Tensor, broken: str) -> None:
        if y.shape != expected.shape:
            raise Broken(f"{broken}: {tuple(y.shape)} for {tuple(expected.shape)}")
        far = (y - expected).abs().max().item()
        if not far <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise Broken(f"{broken}: {far:.2g} apart")


def tensors(value: object) -> Iterator[Tensor]:
    """All tensors of a state, of the states in it, and so on."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, State):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors(item)
    elif value is not None:
        raise Broken(f"a state holds a {type(value).__name__}")
