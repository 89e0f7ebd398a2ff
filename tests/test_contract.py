"""The contract can fail: each module here breaks one part of the law, and `verify` names it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from contract import Broken, verify
from torch import Tensor, nn

from streamtrans.nn.streaming import State, Streaming


@dataclass
class Sum(State):
    """total: (B, D)"""

    total: Tensor


class Accumulate(Streaming[Sum]):
    """The running sum, scaled: the least module with a past. It obeys the law; the classes below do
    not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1) * self.scale

    def init_state(self, batch: int) -> Sum:
        return Sum(torch.zeros(batch, 3, dtype=self.scale.dtype))

    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        if lengths is not None:
            outside = torch.arange(x.shape[1]) >= lengths[:, None]
            x = x.masked_fill(outside[..., None], 0)
        total = state.total[:, None] + x.cumsum(1)
        return total * self.scale, Sum(total[:, -1])


class ForgetsItsState(Accumulate):
    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        y, _ = super().step(x, state, lengths)
        return y, state


class LooksAhead(Accumulate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * x.roll(-1, 1)


class MixesRows(Accumulate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))

    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        return super().step(x - x.mean(0), state, lengths)


class MixesRowsInSteps(Accumulate):
    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        y, state = super().step(x, state, lengths)
        return y, Sum(state.total.mean(0).expand_as(state.total))


class CountsPadding(Accumulate):
    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        return super().step(x, state)


class StartsAtOne(Accumulate):
    def init_state(self, batch: int) -> Sum:
        return Sum(torch.ones(batch, 3, dtype=self.scale.dtype))


class KeepsStateInItself(Accumulate):
    memory: Tensor | None = None

    def init_state(self, batch: int) -> Sum:
        self.memory = None
        return super().init_state(batch)

    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        if self.memory is not None and len(self.memory) == len(x):
            state = Sum(self.memory)
        y, state = super().step(x, state, lengths)
        self.memory = state.total
        return y, state


@dataclass
class Stubborn(Sum):
    """A state that cannot be reset."""

    def reset(self, rows: Tensor) -> None:
        pass


class CannotBeReset(Accumulate):
    def init_state(self, batch: int) -> Sum:
        return Stubborn(super().init_state(batch).total)


@dataclass
class Careless(Sum):
    """A state whose reset takes the rows beside along."""

    def reset(self, rows: Tensor) -> None:
        self.total.zero_()


class ResetsAll(Accumulate):
    def init_state(self, batch: int) -> Sum:
        return Careless(super().init_state(batch).total)


@dataclass
class InPlace(Sum):
    """A state that its steps change in place, and that is taken as it is."""

    rows: Tensor | None = None

    def take(self, rows: Tensor) -> InPlace:
        return replace(self, rows=rows)

    def put(self, rows: Tensor, state: State) -> None:
        pass

    def reset(self, rows: Tensor) -> None:
        self.total.index_fill_(0, rows, 0)


class CannotGoBack(Accumulate):
    """As a cache that does not keep its length beside it would."""

    def init_state(self, batch: int) -> Sum:
        return InPlace(super().init_state(batch).total)

    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        assert isinstance(state, InPlace)
        rows = torch.arange(len(x)) if state.rows is None else state.rows
        y, new = super().step(x, Sum(state.total[rows]), lengths)
        state.total[rows] = new.total
        return y, state


@dataclass
class Confused(Sum):
    """A state that writes back in the order of the rows, not in the order they were taken."""

    def put(self, rows: Tensor, state: State) -> None:
        assert isinstance(state, Confused)
        super().put(rows.sort().values, state)


class PutsInOrder(Accumulate):
    def init_state(self, batch: int) -> Sum:
        return Confused(super().init_state(batch).total)

    def step(self, x: Tensor, state: Sum, lengths: Tensor | None = None) -> tuple[Tensor, Sum]:
        y, state = super().step(x, state, lengths)
        return y, Confused(state.total)


@dataclass
class Timed(State):
    """length: (B,)"""

    length: Tensor


class CountsFrames(Streaming[Timed]):
    """Adds the position of each frame to it. It obeys the law."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[1])[:, None] * self.scale

    def init_state(self, batch: int) -> Timed:
        return Timed(torch.zeros(batch, dtype=torch.long))

    def step(self, x: Tensor, state: Timed, lengths: Tensor | None = None) -> tuple[Tensor, Timed]:
        now = self.positions(state)[:, None] + torch.arange(x.shape[1])
        grown = state.length + (x.shape[1] if lengths is None else lengths)
        return x + now[..., None] * self.scale, Timed(grown)

    def positions(self, state: Timed) -> Tensor:
        return state.length


class OnePositionForAll(CountsFrames):
    def positions(self, state: Timed) -> Tensor:
        return state.length.max().expand_as(state.length)


@pytest.mark.parametrize("module", [Accumulate, CountsFrames])
def test_a_module_under_the_law_passes(module: type[Streaming[State]]) -> None:
    verify(module(), torch.randn(3, 12, 3))
    verify(module(), torch.randn(2, 9, 3), piece=4, padding=1e30)


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        (ForgetsItsState, "not the whole"),
        (LooksAhead, "not the whole"),
        (MixesRows, "forward of a batch is not forward of its rows"),
        (MixesRowsInSteps, "not the whole"),
        (CountsPadding, "padding leaves a trace"),
        (StartsAtOne, "not all zeros"),
        (KeepsStateInItself, "rows at different positions"),
        (CannotBeReset, "reused row"),
        (ResetsAll, "reused row"),
        (PutsInOrder, "rows at different positions"),
        (CannotGoBack, "not kept"),
        (OnePositionForAll, "rows at different positions"),
    ],
)
def test_a_broken_module_is_found(module: type[Streaming[State]], broken: str) -> None:
    """A check that every module passes is worth nothing: each of these is a mistake that is easily
    made.
    """
    with pytest.raises(Broken, match=broken):
        verify(module(), torch.randn(3, 12, 3))


def test_too_small_an_example_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        verify(Accumulate(), torch.randn(1, 12, 3))
