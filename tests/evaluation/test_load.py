"""The rule of sessions at a service level, with trials that are made up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from streamtrans.evaluation.load import (
    LoadResults,
    Trial,
    counted,
    largest,
    late_share,
    percentiles,
    ratio,
)

GOOD = Trial(
    server="streamtrans",
    kind="text",
    policy="wait-3",
    sessions=10,
    seconds=120.0,
    stagger=10.0,
    commits=1000,
    late_share=0.001,
    p50_ms=20.0,
    p95_ms=300.0,
    p99_ms=900.0,
    lost={},
    server_cores=1.0,
    generator_cores=0.1,
    generators=1,
    memory_mib=1000.0,
    ready_s=4.0,
    options="--model en-fr",
)


def test_exactly_the_limits_pass() -> None:
    assert GOOD.passed and GOOD.faults == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"late_share": 0.0011}, "late"),
        ({"p95_ms": 300.1}, "p95"),
        ({"commits": 0, "late_share": math.nan, "p95_ms": math.nan}, "no word was committed"),
        ({"lost": {"unfinished": 2}}, "2 sessions lost (unfinished)"),
        ({"generator_cores": 0.81}, "the generator was busy: give it more processes"),
    ],
)
def test_each_of_these_fails_alone(change: dict[str, object], fault: str) -> None:
    trial = replace(GOOD, **change)  # type: ignore[arg-type]
    assert not trial.passed and trial.faults == [fault]


def test_more_generators_may_use_more() -> None:
    assert replace(GOOD, generator_cores=1.5, generators=2).passed


def test_one_word_in_a_thousand_may_be_late() -> None:
    """A word that comes exactly 1 s behind the ideal policy is not late."""
    lags = [0.02] * 998 + [1.0, 1.001]
    assert late_share(lags) == 0.001
    assert percentiles(lags) == pytest.approx((20.0, 20.0, 20.0))


def test_percentiles_are_in_ms_and_between_the_lags() -> None:
    assert percentiles([0.0, 0.1, 0.2, 0.3, 0.4]) == pytest.approx((200.0, 380.0, 396.0))
    assert all(map(math.isnan, (*percentiles([]), late_share([]))))


def test_faults_are_counted() -> None:
    assert counted(["a", "b", "b"]) == {"b": 2, "a": 1}


def up_to(limit: int, tried: list[int]) -> Callable[[int], bool]:
    def passes(count: int) -> bool:
        tried.append(count)
        return count <= limit

    return passes


def test_it_grows_by_a_quarter_and_bisects() -> None:
    tried: list[int] = []
    assert largest(up_to(170, tried), 100) == 170
    assert tried == [100, 125, 156, 195, 175, 165, 170]


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 16, 17, 40, 333, 1000])
@pytest.mark.parametrize("start", [1, 16, 500])
def test_what_it_finds_passes_and_a_twentieth_more_does_not(limit: int, start: int) -> None:
    tried: list[int] = []
    found = largest(up_to(limit, tried), start)
    assert found <= limit < max(found + 2, found * 1.05 + 1)
    assert found == 0 or found in tried
    assert min(n for n in tried if n > limit) <= max(found + 1, 1.05 * found)
    assert len(tried) == len(set(tried)) < 40


def test_results_are_on_disk_after_each_trial(tmp_path: Path) -> None:
    results = LoadResults(tmp_path / "new", {"cpu": "abacus", "gpu": None})
    row = results.add(GOOD)
    lost = replace(GOOD, server="other", commits=0, lost={"unfinished": 10}, p95_ms=math.nan)
    results.add(lost)
    written = json.loads((tmp_path / "new" / "load.json").read_text())
    assert [trial["passed"] for trial in written["trials"]] == [True, False]
    assert written["trials"][1]["p95_ms"] is None
    assert written["machine"]["cpu"] == "abacus" and written["largest"] == {}
    results.found("streamtrans", 30)
    results.found("other", 4)
    assert json.loads((tmp_path / "new" / "load.json").read_text())["largest"]["other"] == 4
    page = (tmp_path / "new" / "load.md").read_text()
    assert page.startswith(f"{results.head}\n{row}\n")
    assert "10 sessions lost (unfinished); no word was committed" in page
    assert "streamtrans holds 7.5 times the sessions of other." in page
    assert "120 s with all sessions live" in page and "abacus" in page
    cells = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert len(cells) == 1


def test_a_ratio_needs_two() -> None:
    assert ratio({"streamtrans": 3}) == ""
    assert ratio({"streamtrans": 3, "other": 0}) == "streamtrans holds 3 sessions, other not one."
