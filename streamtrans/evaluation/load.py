"""Sessions at a service level: the rule, the largest number that keeps it, and how it is reported.

The ideal policy commits a word the moment the source that its READs need was sent: for text the last word READ,
for audio the `at` ms that had been taken in. Lag is from there to the arrival of the word at the client. A trial passes
when at most 0.1 % of its words come over 1 s late and p95 of the lag is at most 300 ms. This file knows lags,
not where they come from.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from streamtrans.evaluation.journal import Record, finite
from streamtrans.evaluation.markdown import head, row

STAGGER_S = 10.0
LATE_S = 1.0
LATE_SHARE = 0.001
P95_MS = 300.0
GROWTH = 1.25
FINENESS = 0.05
GENERATOR_CORES = 0.8  # of one generator process; above it measures itself
COLUMNS: dict[str, Callable[[Trial], str]] = {
    "server": lambda t: t.server,
    "source": lambda t: t.kind,
    "sessions": lambda t: str(t.sessions),
    "verdict": lambda t: "passed" if t.passed else f"failed: {'; '.join(t.faults)}",
    "commits": lambda t: str(t.commits),
    "p50 ms": lambda t: f"{t.p50_ms:.1f}",
    "p95 ms": lambda t: f"{t.p95_ms:.1f}",
    "p99 ms": lambda t: f"{t.p99_ms:.1f}",
    "late %": lambda t: f"{100 * t.late_share:.3f}",
    "server cores": lambda t: f"{t.server_cores:.2f}",
    "generator cores": lambda t: f"{t.generator_cores:.2f}",
    "memory MiB": lambda t: f"{t.memory_mib:.0f}",
    "MiB a session": lambda t: f"{t.memory_mib / t.sessions:.1f}",
    "ready s": lambda t: f"{t.ready_s:.1f}",
}


@dataclass(frozen=True)
class Trial:
    """One trial. Lags are NaN when no word was committed.

    seconds: for which all sessions lived at once; stagger: over which they came. lost: sessions by what went wrong with
    them. Cores: CPU seconds a second. memory_mib: the server's peak resident set, pages of files that its processes
    share counted once. ready_s: from the command until it listened.
    """

    server: str
    kind: str
    policy: str
    sessions: int
    seconds: float
    stagger: float
    commits: int
    late_share: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    lost: dict[str, int]
    server_cores: float
    generator_cores: float
    generators: int
    memory_mib: float
    ready_s: float
    options: str

    @property
    def faults(self) -> list[str]:
        """Why it does not pass: nothing, if it does."""
        faults = [f"{count} sessions lost ({why})" for why, count in self.lost.items()]
        if not self.commits:
            return [*faults, "no word was committed"]
        if self.late_share > LATE_SHARE:
            faults.append("late")
        if self.p95_ms > P95_MS:
            faults.append("p95")
        if self.generator_cores > GENERATOR_CORES * self.generators:
            faults.append("the generator was busy: give it more processes")
        return faults

    @property
    def passed(self) -> bool:
        """By the rule, with all sessions served to their end."""
        return not self.faults


def percentiles(lags: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99 in ms of lags in s; NaN without any."""
    if not lags:
        return math.nan, math.nan, math.nan
    p50, p95, p99 = np.percentile(lags, (50, 95, 99)) * 1000
    return float(p50), float(p95), float(p99)


def late_share(lags: Sequence[float]) -> float:
    """The share of lags over 1 s; NaN without any."""
    return sum(lag > LATE_S for lag in lags) / len(lags) if lags else math.nan


def counted(faults: Iterable[str]) -> dict[str, int]:
    """Each fault once, the most frequent first."""
    return dict(Counter(faults).most_common())


def largest(passes: Callable[[int], bool], start: int) -> int:
    """The largest number of sessions that passes, to 5 % or to one session; 0 if one session is too many.

    From `start` it grows by 1.25 until a trial fails, or halves until one passes, and bisects then. It takes the
    verdict to be monotonic.
    """
    good, bad = 0, None
    count = start
    while True:
        if passes(count):
            good = count
        else:
            bad = count
        if bad is None:
            count = max(good + 1, int(good * GROWTH))
        elif bad - good <= max(1, FINENESS * good):
            return good
        else:
            count = (good + bad) // 2


class LoadResults:
    """All trials of one run in a folder: load.json and load.md, written anew after each, so that a stop loses one."""

    def __init__(self, folder: Path, machine: Record) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._machine = folder, machine
        self._trials: list[Trial] = []
        self._largest: dict[str, int] = {}
        self.head = head(COLUMNS)

    def add(self, trial: Trial) -> str:
        """Its row of the table."""
        self._trials.append(trial)
        self._write()
        return _row(trial)

    def found(self, server: str, sessions: int) -> None:
        """The largest number that passes."""
        self._largest[server] = sessions
        self._write()

    @property
    def foot(self) -> str:
        """What was found, the rule, the machine."""
        lines = [f"Largest number that passes: {n} ({name})." for name, n in self._largest.items()]
        lines += [verdict] if (verdict := ratio(self._largest)) else []
        first = self._trials[0]
        lines.append(
            f"Policy {first.policy}, options {first.options}. Machine: {_named(self._machine)}."
        )
        lines.append(
            f"Rule: {first.seconds:g} s with all sessions live, arrivals over {first.stagger:g} s, at most"
            f" {LATE_SHARE:.1%} of the words over {LATE_S:g} s behind the ideal policy, p95 at most {P95_MS:g} ms."
        )
        return "\n".join(lines)

    def _write(self) -> None:
        figures = {
            "machine": self._machine,
            "largest": self._largest,
            "trials": [{**asdict(t), "passed": t.passed, "faults": t.faults} for t in self._trials],
        }
        text = json.dumps(finite(figures), indent=1, allow_nan=False)
        (self._folder / "load.json").write_text(text + "\n", encoding="utf-8")
        table = [self.head, *map(_row, self._trials)]
        page = "\n".join(table) + f"\n\n{self.foot}\n"
        (self._folder / "load.md").write_text(page, encoding="utf-8")


def _row(trial: Trial) -> str:
    return row(column(trial) for column in COLUMNS.values())


def _named(values: Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def ratio(found: dict[str, int]) -> str:
    """The first server's sessions against the second's, in words; empty unless there are two."""
    if len(found) != 2:
        return ""
    (ours, our), (theirs, their) = found.items()
    if not their:
        return f"{ours} holds {our} sessions, {theirs} not one."
    return f"{ours} holds {our / their:.1f} times the sessions of {theirs}."
