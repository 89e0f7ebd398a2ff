"""The processes that train one model together: torchrun starts them, torch.distributed lets them meet.

One process alone is the same with one worker. It knows ranks and shares of a batch, and nothing of models or losses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """Worker `rank` of `count`."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @classmethod
    def join(cls, device: str) -> Workers:
        """Meet the others if torchrun started this process: gloo on the CPU; NCCL on CUDA, a device for each worker."""
        if not dist.is_torchelastic_launched():
            return cls(device=device)
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def leads(self) -> bool:
        """One of them writes files and shows progress."""
        return self.rank == 0

    @contextmanager
    def first(self) -> Iterator[bool]:
        """The leading worker goes first, the others wait for it and follow. Gives `leads`."""
        if not self.leads:
            dist.barrier()
        yield self.leads
        if self.leads and self.count > 1:
            dist.barrier()

    def part(self, rows: int) -> tuple[np.ndarray, float]:
        """This worker's rows of a batch and the weight of their loss, so that the mean gradient of all workers is the
        gradient of the batch. A worker for whom there is no row takes the first one with weight 0: all have to take
        part.
        """
        own = np.arange(self.rank, rows, self.count)
        return (own, float(self.count)) if len(own) else (np.zeros(1, dtype=int), 0.0)

    def share(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over all workers; weights that an objective leaves alone have none."""
        if self.count == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)

    def reseed(self) -> None:
        """Noise of its own for each worker."""
        if self.count > 1:
            torch.manual_seed(torch.initial_seed() * self.count + self.rank)

    def total(self, value: float) -> float:
        """The sum over all workers."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)
