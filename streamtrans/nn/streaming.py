"""The law every streaming module obeys, and the value its state is.

This file knows nothing of any layer, of sessions or of slots: `take`, `put` and `reset` work on every state,
because a state is a dataclass of tensors with the batch first and zeros at the start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn


@dataclass
class State:
    """Dataclass of tensors (batch first) and of further states. All zeros at the start."""

    def take(self, rows: Tensor) -> Self:
        """The state of some rows of a pool: copies, but for caches, which stay in place. rows: (B,)."""
        return replace(self, **{f.name: _take(getattr(self, f.name), rows) for f in fields(self)})

    def put(self, rows: Tensor, state: Self) -> None:
        """Write back what `take(rows)` gave and a step has changed."""
        for f in fields(self):
            _put(getattr(self, f.name), rows, getattr(state, f.name))

    def reorder(self, rows: Tensor, since: Self | None = None) -> Self:
        """Row i becomes what row rows[i] was; rows may repeat, and go their own ways from there. rows: (B,).

        since: a state in which the rows that change places were alike; what was only appended to before then stays.
        """
        return replace(
            self,
            **{
                f.name: _reorder(getattr(self, f.name), rows, since and getattr(since, f.name))
                for f in fields(self)
            },
        )

    def reset(self, rows: Tensor) -> None:
        """Make rows new again: zeros."""
        for f in fields(self):
            _reset(getattr(self, f.name), rows)


def _take(value: object, rows: Tensor) -> object:
    if isinstance(value, Tensor):
        return value.index_select(0, rows)
    if isinstance(value, State):
        return value.take(rows)
    assert isinstance(value, tuple)
    return tuple(_take(item, rows) for item in value)


def _reorder(value: object, rows: Tensor, since: object) -> object:
    if isinstance(value, Tensor):
        return value.index_select(0, rows)
    if isinstance(value, State):
        assert since is None or isinstance(since, State)
        return value.reorder(rows, since)
    assert isinstance(value, tuple)
    before = since if isinstance(since, tuple) else (None,) * len(value)
    return tuple(_reorder(item, rows, old) for item, old in zip(value, before, strict=True))


def _put(value: object, rows: Tensor, new: object) -> None:
    if isinstance(value, Tensor):
        assert isinstance(new, Tensor)
        value.index_copy_(0, rows, new)
    elif isinstance(value, State):
        assert isinstance(new, State)
        value.put(rows, new)
    else:
        assert isinstance(value, tuple) and isinstance(new, tuple)
        for item, new_item in zip(value, new, strict=True):
            _put(item, rows, new_item)


def _reset(value: object, rows: Tensor) -> None:
    if isinstance(value, Tensor):
        value.index_fill_(0, rows, 0)
    elif isinstance(value, State):
        value.reset(rows)
    else:
        assert isinstance(value, tuple)
        for item in value:
            _reset(item, rows)


S = TypeVar("S", bound=State)


class Streaming(nn.Module, ABC, Generic[S]):
    """A module that gives the same answer whole or piece by piece:

        cat(step(x_1), step(x_2), ...) == forward(cat(x_1, x_2, ...))      for every cutting of x

    Rows are independent and each is at its own position. `tests/contract.py: verify` asserts all of it.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The whole sequence at once: (B, T, D) -> (B, T, D'). Training, and the reference."""

    @abstractmethod
    def init_state(self, batch: int) -> S:
        """The state before the first frame, for `batch` rows: zeros."""

    @abstractmethod
    def step(self, x: Tensor, state: S, lengths: Tensor | None = None) -> tuple[Tensor, S]:
        """The next piece of each row: (B, T, D), state -> (B, T, D'), state.

        lengths: (B,) frames of each row that count, 1 to T; the rest is padding, leaves no trace in the state, and its
        outputs mean nothing. None: all T count.
        """

    def place(self) -> tuple[torch.device, torch.dtype]:
        """Device and dtype of the weights, which the state shares."""
        parameter = next(self.parameters())
        return parameter.device, parameter.dtype
