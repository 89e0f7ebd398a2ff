"""Policies: READ another source word, or WRITE the next target word? Frozen values without state.

A policy sees `Progress`, never tensors or text. The same names are used everywhere: `wait-3`, `wait-3:0.1`, `full`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class PolicyError(ValueError):
    """A policy name that means nothing."""


class Action(Enum):
    """What a session does next."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the open segment stands: source words READ, target words written whole, whether its end was READ."""

    read: int
    written: int
    ended: bool


class Policy(Protocol):
    """Decides from progress alone, so one value serves any number of sessions."""

    @property
    def name(self) -> str:
        """The name `parse` gives this policy back for."""
        ...

    def decide(self, progress: Progress) -> Action:
        """The next action; after the end of the segment always WRITE."""
        ...


@dataclass(frozen=True, slots=True)
class WaitK:
    """Wait-k (Ma et al. 2019, eq. 2): target word w + 1 is written once w + k source words are READ.

    catch_up c writes one more word each 1/c words (their section 3.2), for targets longer than the source: the schedule
    is then w + k - floor(c (w + 1)). c has four decimals at most.
    """

    k: int
    catch_up: float = 0.0

    def __post_init__(self) -> None:
        if self.k < 1 or not 0 <= self.catch_up < 1 or round(self.catch_up, 4) != self.catch_up:
            raise PolicyError(f"wait-k needs k >= 1 and 0 <= c < 1 with four decimals: {self}")

    @property
    def name(self) -> str:
        """`wait-3`, or `wait-3:0.1` with catch-up."""
        return f"wait-{self.k}" + (f":{self.catch_up:.4f}".rstrip("0") if self.catch_up else "")

    def decide(self, progress: Progress) -> Action:
        """WRITE as soon as the schedule allows the next word."""
        ahead = math.floor(self.catch_up * (progress.written + 1) + 1e-9)
        needed = self.k + progress.written - ahead
        return Action.WRITE if progress.ended or progress.read >= needed else Action.READ


@dataclass(frozen=True, slots=True)
class Full:
    """Read the whole segment before the first WRITE: the offline reference."""

    name: str = "full"

    def decide(self, progress: Progress) -> Action:
        """WRITE after the end only."""
        return Action.WRITE if progress.ended else Action.READ


_WAIT = re.compile(r"wait-(\d{1,4})(?::(0?\.\d{1,4}))?")


def parse(name: str) -> Policy:
    """The policy of a name. Raises PolicyError, which says what names there are."""
    if name == "full":
        return Full()
    if match := _WAIT.fullmatch(name):
        return WaitK(int(match[1]), float(match[2] or 0))
    raise PolicyError(f"no policy {name[:40]!r}: try wait-3, wait-3:0.1 (with catch-up) or full")
