"""Policies: READ another source word, or WRITE the next target word? Frozen values without state.

A policy sees `Progress`, never tensors or text. The same names are used everywhere: `wait-3`, `wait-3:0.1`, `full`,
`monotonic`, `adaptive-1-5:0.7`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol


class PolicyError(ValueError):
    """A policy name that means nothing."""


class Action(Enum):
    """What a session does next. A policy decides between READ and WRITE; HEAR makes words of sound, to be READ."""

    READ = "read"
    WRITE = "write"
    HEAR = "hear"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the open segment stands: source words READ, target words written whole, whether its end was READ.

    confidence: of the model in the piece it would write with what is READ, 0 to 1; 1 before it was asked.
    """

    read: int
    written: int
    ended: bool
    confidence: float = 1.0


class Policy(Protocol):
    """Decides from progress alone, so one value serves any number of sessions."""

    @property
    def name(self) -> str:
        """The name `parse` gives this policy back for."""
        ...

    @property
    def learned(self) -> bool:
        """Does it listen to the model's confidence? Then the model must have one."""
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
    learned: ClassVar[bool] = False

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
    learned: ClassVar[bool] = False

    def decide(self, progress: Progress) -> Action:
        """WRITE after the end only."""
        return Action.WRITE if progress.ended else Action.READ


@dataclass(frozen=True, slots=True)
class Monotonic:
    """WRITE as soon as the model finds where to stop in what was READ (Raffel et al. 2017, algorithm 1)."""

    name: str = "monotonic"
    learned: ClassVar[bool] = True

    def decide(self, progress: Progress) -> Action:
        """WRITE when the model is at least as likely to be done waiting as not."""
        enough = progress.read >= 1 and progress.confidence >= 0.5
        return Action.WRITE if progress.ended or enough else Action.READ


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Bounded adaptive: the model's confidence decides, held between two wait-k policies.

    Target word w + 1 is never written before w + lowest source words are READ, and never waits for more than w +
    highest, whatever the model says; between the two it is written once the confidence reaches `threshold`.
    """

    lowest: int
    highest: int
    threshold: float = 0.5
    learned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        sound = 1 <= self.lowest <= self.highest and 0 <= self.threshold <= 1
        if not sound or round(self.threshold, 4) != self.threshold:
            raise PolicyError(
                f"adaptive needs 1 <= k_min <= k_max and a threshold in 0..1, four decimals: {self}"
            )

    @property
    def name(self) -> str:
        """`adaptive-1-5`, or `adaptive-1-5:0.7` with a threshold that is not 0.5."""
        return f"adaptive-{self.lowest}-{self.highest}" + (
            f":{self.threshold:g}" if self.threshold != 0.5 else ""
        )

    def decide(self, progress: Progress) -> Action:
        """READ below the lower bound, WRITE at the upper one, between them as the model says."""
        if progress.ended or progress.read >= progress.written + self.highest:
            return Action.WRITE
        sure = progress.confidence >= self.threshold
        enough = sure and progress.read >= progress.written + self.lowest
        return Action.WRITE if enough else Action.READ


_WAIT = re.compile(r"wait-(\d{1,4})(?::(0?\.\d{1,4}))?")
_ADAPTIVE = re.compile(r"adaptive-(\d{1,4})-(\d{1,4})(?::([01]|[01]?\.\d{1,4}))?")


def parse(name: str) -> Policy:
    """The policy of a name. Raises PolicyError, which says what names there are."""
    if name == "full":
        return Full()
    if match := _WAIT.fullmatch(name):
        return WaitK(int(match[1]), float(match[2] or 0))
    if name == "monotonic":
        return Monotonic()
    if match := _ADAPTIVE.fullmatch(name):
        return Adaptive(int(match[1]), int(match[2]), float(match[3] or 0.5))
    raise PolicyError(
        f"no policy {name[:40]!r}: try wait-3, wait-3:0.1 (with catch-up), full, or where the model has learned one "
        "monotonic or adaptive-1-5:0.7"
    )


def runnable(policy: str, decides: bool) -> Policy:
    """The policy of a name. Raises PolicyError: an unknown one, or a learned one where the model cannot decide."""
    chosen = parse(policy)
    if chosen.learned and not decides:
        raise PolicyError(f"{policy}: this model has not learned when to write; try wait-3 or full")
    return chosen
