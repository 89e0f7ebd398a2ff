"""A run that is cut off half-way, and one that goes on from there: the same for every task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from streamtrans.training.task import Share
from streamtrans.training.trainer import Trainer


class Stopped(Exception):
    """What stops a run half-way."""


class Stops(Trainer):
    """A run that is cut off in the middle of the step that follows step `last`."""

    last: int

    def _train_on(self, shares: Iterator[Share]) -> tuple[float, Share]:
        if self.step == self.last:
            raise Stopped
        return super()._train_on(shares)


def stopped(recipe: Any, data: Path, folder: Path, last: int = 3) -> Trainer:
    """A trainer of the folder of a run that was cut off."""
    run = Stops(recipe, data, folder)
    run.last = last
    with pytest.raises(Stopped):
        run.run()
    return Trainer(recipe, data, folder)


def assert_alike(ours: Path, theirs: Path, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Two checkpoints have the same weights."""
    mine, other = (load_file(folder / "model.safetensors") for folder in (ours, theirs))
    assert mine.keys() == other.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], other[name], rtol=rtol, atol=atol)
