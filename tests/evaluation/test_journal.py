"""A journal is whole after any stop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from streamtrans.evaluation.journal import Journal, JournalError


def test_what_was_appended_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    journal = Journal(path)
    journal.append({"key": "a", "bleu": 1.5, "name": "é\u2028"})
    journal.append({"key": "b", "bleu": 2.5})
    journal.append({"key": "a", "bleu": 3.5})
    again = Journal(path)
    assert again.records == journal.records
    assert again.records["a"]["bleu"] == 3.5
    assert len(path.read_text(encoding="utf-8").split("\n")) == 4


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_a_line_that_a_stop_cut_off_is_removed(tmp_path: Path, cut: int) -> None:
    """The next record would otherwise be glued to it, and both lost."""
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    first.append({"key": "a"})
    whole = path.read_bytes()
    first.append({"key": "b"})
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert list(again.records) == ["a"] and path.read_bytes() == whole
    again.append({"key": "b"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_stop_in_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key')
    assert Journal(path).records == {} and path.read_bytes() == b""


def test_a_figure_that_is_no_number_is_null(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"key": "a", "yaal": math.nan, "deep": {"rtf": [math.inf, 1.0]}})
    assert Journal(journal.path).records["a"] == {
        "key": "a",
        "yaal": None,
        "deep": {"rtf": [None, 1.0]},
    }


@pytest.mark.parametrize("line", ["{}", "[1]", "nonsense", "", "7"])
def test_a_line_of_somebody_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"key": "a"}}\n{line}\n{{"key": "b"}}\n')
    with pytest.raises(JournalError, match="journal.jsonl, line 2 is no record"):
        Journal(path)
