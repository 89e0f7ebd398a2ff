"""The law for modules that change the rate: of each step only the frames that count are compared.

It is `contract.py` with one difference: a row is at `at` frames of input and at `count(at)` frames of output.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from contract import Broken, _Law
from torch import Tensor

from streamtrans.nn.streaming import State
from streamtrans.nn.windows import Strided


def verify_strided(
    module: Strided[Any], x: Tensor, *, piece: int | None = None, padding: float = math.nan
) -> None:
    """Raise Broken unless `module` obeys the law for x: (B, T, ...), B at least 2 and T at least two frames out."""
    if x.shape[0] < 2 or module.count(x.shape[1]) < 2:
        raise ValueError(f"{tuple(x.shape)} has too few rows or frames to break anything")
    law = _StridedLaw(
        copy.deepcopy(module).double().eval(), x.double(), piece or x.shape[1], padding
    )
    with torch.no_grad():
        law.counts_what_it_gives()
        law.starts_with_zeros()
        law.rows_are_independent()
        law.any_cutting_is_the_whole()
        law.a_batch_is_its_rows()
        law.rows_have_their_own_position()
        law.padding_leaves_no_trace()
        law.a_reused_row_is_clean()
        law.a_step_not_kept_never_was()


@dataclass
class _StridedLaw(_Law):
    module: Strided[Any]

    def counts_what_it_gives(self) -> None:
        for time in {*self.rng.integers(1, self.time + 1, 40).tolist(), self.time}:
            y = self.module(self.x[:, :time])
            if y.shape[1] != self.module.count(time):
                raise Broken(f"{time} frames give {y.shape[1]}, not {self.module.count(time)}")

    def _run(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        state = self.module.init_state(len(x))
        ys, at = [], 0
        for size in sizes:
            y, state = self.module.step(x[:, at : at + size], state)
            ys.append(y[:, : self.module.count(at + size) - self.module.count(at)])
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
        at = [0] * self.rows
        y = torch.full_like(self.offline, math.nan)
        for some in self._turns(at):
            place = torch.tensor([rows[i] for i in some])
            if drop:
                self.module.step(self._rubbish(len(some)), pool.take(place))
            lengths = [int(self.rng.integers(1, self._left(at[i]) + 1)) for i in some]
            if not ragged:
                lengths = [min(lengths)] * len(some)
            part = self._padded(some, at, lengths, ragged)
            counted = torch.tensor(lengths) if ragged else None
            before = pool.take(place)
            told = self.module.counts(before, part.shape[1], counted).tolist()
            out, state = self.module.step(part, before, counted)
            pool.put(place, state)
            for i, n, row, says in zip(some, lengths, out, told, strict=True):
                first, last = self.module.count(at[i]), self.module.count(at[i] + n)
                if says != last - first:
                    raise Broken(f"a step says it gives {says} frames, not {last - first}")
                y[i, first:last] = row[: last - first]
                at[i] += n
            if others:
                self._spoil(pool, others)
        return y
