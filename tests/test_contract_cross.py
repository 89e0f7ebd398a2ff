"""The contract of cross-attention can fail: each module here breaks a part of the law, and `verify_cross` names it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from contract import Broken
from contract_cross import verify_cross
from torch import Tensor

from streamtrans.nn.cross import FixedContext, LastState


class Glance(FixedContext):
    """Obeys the law of cross-attention; the classes below do not."""


class SeesAll(Glance):
    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, None]:
        return super().forward(x, memory, torch.full_like(visible, memory.shape[1]))[0], None


class ForgetsLengths(Glance):
    def append(self, memory, state, lengths=None, cells=None):  # type: ignore[no-untyped-def]
        return super().append(memory.nan_to_num(), state)


class KeepsItsSourceInItself(Glance):
    def append(self, memory, state, lengths=None, cells=None):  # type: ignore[no-untyped-def]
        state.last[:] = super().append(memory, state, lengths).last
        self.last = super().append(memory, state, lengths).last
        return LastState(self.last)

    def step(self, x, state, sight=None):  # type: ignore[no-untyped-def]
        last = self.last if len(self.last) == len(x) else state.last
        return super().step(x, LastState(last))


class CountsSteps(Glance):
    """As a monotonic head whose position moves with steps that are not kept."""

    def init_state(self, batch: int) -> LastState:
        self.steps = 0
        return super().init_state(batch)

    def step(self, x, state, sight=None):  # type: ignore[no-untyped-def]
        self.steps += 1
        y, stopped, state = super().step(x, state)
        return y * (1 if self.steps <= 4 else 2), stopped, state


@dataclass
class StubbornLast(LastState):
    def reset(self, rows: Tensor) -> None:
        pass


class CannotStartAnew(Glance):
    """Adds what is appended to what is there, and cannot forget it."""

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor) -> tuple[Tensor, None]:
        return super().forward(x, memory.cumsum(1), visible)[0], None

    def init_state(self, batch: int) -> LastState:
        return StubbornLast(super().init_state(batch).last)

    def append(self, memory, state, lengths=None, cells=None):  # type: ignore[no-untyped-def]
        if lengths is not None:
            memory = memory.masked_fill(
                (torch.arange(memory.shape[1]) >= lengths[:, None])[..., None], 0
            )
        return StubbornLast(state.last + memory.sum(1))


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        (SeesAll, "sees what is not visible"),
        (ForgetsLengths, "appends and steps"),
        (KeepsItsSourceInItself, "appends and steps"),
        (CountsSteps, "appends and steps|not kept"),
        (CannotStartAnew, "reused row"),
    ],
)
def test_a_broken_cross_attention_is_found(module: type[Glance], broken: str) -> None:
    x, memory = torch.randn(3, 4, 3), torch.randn(3, 6, 3)
    visible = torch.tensor([[1, 2, 2, 4], [3, 3, 5, 5], [1, 1, 5, 6]])
    verify_cross(Glance(3), x, memory, visible)
    with pytest.raises(Broken, match=broken):
        verify_cross(module(3), x, memory, visible)
