"""Windows over a stream: the one place that knows strides. Features, subsampling and chunks are built on it.

A window is complete, and given, with its last frame; it looks back over `size` frames, the first windows over zeros.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from streamtrans.nn.streaming import S, State, Streaming

N = TypeVar("N", int, Tensor)


@dataclass
class Past(State):
    """kept: (B, size - 1, D) newest frames, zeros before the first; length: (B,) frames so far."""

    kept: Tensor
    length: Tensor

    @classmethod
    def zeros(
        cls, batch: int, size: int, dim: int, device: torch.device, dtype: torch.dtype
    ) -> Past:
        """Before the first frame."""
        kept = torch.zeros(batch, size - 1, dim, device=device, dtype=dtype)
        return cls(kept, torch.zeros(batch, device=device, dtype=torch.long))

    def append(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Past]:
        """Kept and new frames together, (B, size - 1 + T, D), and the past of the next step. lengths: 0 to T."""
        size, time = self.kept.shape[1], x.shape[1]
        both = torch.cat((self.kept, x), dim=1)
        if lengths is None:
            return both, Past(both[:, time:], self.length + time)
        newest = lengths[:, None] + torch.arange(size, device=x.device)
        return both, Past(_rows(both, newest), self.length + lengths)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x: (B, T, D), index: (B, ...) -> (B, ..., D)."""
    row = torch.arange(len(x), device=x.device).view(-1, *[1] * (index.dim() - 1))
    return x[row, index]


def windows(x: Tensor, size: int, stride: int) -> Tensor:
    """All windows of a whole stream: (B, T, D) -> (B, T // stride, size, D). Frames that complete none are left out."""
    if x.shape[1] < stride:
        return x.new_zeros(x.shape[0], 0, size, x.shape[2])
    return F.pad(x, (0, 0, size - stride, 0)).unfold(1, size, stride).transpose(2, 3)


def next_windows(
    x: Tensor, past: Past, size: int, stride: int, lengths: Tensor | None = None
) -> tuple[Tensor, Past]:
    """The windows that a piece completes: (B, T, D) -> (B, ceil(T / stride), size, D), past.

    A row completes (length + T) // stride - length // stride of them, first in order; the others mean nothing. Their
    number is the same for all rows so that no device has to tell it.
    """
    both, after = past.append(x, lengths)
    if stride == 1:
        return both.unfold(1, size, 1).transpose(2, 3), after
    first = (
        stride - 1 - past.length % stride
    )  # where in x the first window ends, and in `both` begins
    time = torch.arange(-(-x.shape[1] // stride), device=x.device)
    start = first[:, None] + stride * time
    index = start[..., None] + torch.arange(size, device=x.device)  # (B, T', size)
    return _rows(both, index.clamp(max=both.shape[1] - 1)), after


class Strided(Streaming[S]):
    """A streaming module whose output has another rate than its input. The law holds for the frames that count:

    forward: (B, T, D) -> (B, count(T), D')
    step of a row that has seen `length` frames gives count(length + T) - count(length) frames, the first of its
    output; those behind them mean nothing
    """

    @abstractmethod
    def count(self, length: N) -> N:
        """How many frames are out after `length` frames are in."""

    @abstractmethod
    def length(self, state: S) -> Tensor:
        """(B,) frames that are in."""

    def counts(self, state: S, time: int, lengths: Tensor | None = None) -> Tensor:
        """(B,) frames that count in the output of a step of `time` frames from this state."""
        before = self.length(state)
        return self.count(before + (time if lengths is None else lengths)) - self.count(before)
