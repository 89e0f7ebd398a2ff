"""Tables say what the records say."""

from __future__ import annotations

import csv
import io

import pytest

from streamtrans.evaluation.journal import Record
from streamtrans.evaluation.tables import best, comma_separated, markdown, page, with_kept


def record(system: str, policy: str, bleu: float, al: float, **others: object) -> Record:
    """A record as a benchmark makes it."""
    figures = dict(chrf=50.04, laal=al + 0.5, dal=al + 1, ap=0.75)
    about = dict(test="toys", sentences=20, beam=1, parameters=8_200_000, degenerate=False)
    signatures = dict(signature="tok:13a", chrf_signature="nc:6")
    cell = dict(system=system, policy=policy, bleu=bleu, al=al)
    return {**cell, **figures, **about, **signatures, **others}


RECORDS = with_kept(
    [
        record("small", "wait-1", 20.0, 1.0),
        record("small", "wait-3", 30.0, 4.0),
        record("small", "wait-5", 35.0, 4.01),
        record("small", "full-sentence", 40.0, 3.9, beam=4),
        record("large", "wait-3", 33.0, 3.0, yaal=None, timed={"rtf": 0.1}),
        record("slow", "wait-9", 50.0, 9.0, degenerate=True),
    ]
)


def test_kept_is_of_the_system_s_own_full_sentences() -> None:
    assert [r["kept"] for r in RECORDS] == [50.0, 75.0, 87.5, 100.0, None, None]
    zero = with_kept([record("bad", "wait-1", 0.0, 1.0), record("bad", "full-sentence", 0.0, 5.0)])
    assert [r["kept"] for r in zero] == [None, None]


def test_a_row_for_each_record() -> None:
    lines = markdown(RECORDS).splitlines()
    assert len(lines) == 2 + len(RECORDS) and len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| small | 8.20 | wait-1 | 20.00 | 50.0 | 1.00 | 1.50 | 2.00 | 0.75 | 50.0 |"
    )
    assert "| full-sentence, beam 4 |" in lines[5] and lines[6].endswith("| - |")
    assert "| wait-9 (degenerate) |" in lines[7]


@pytest.mark.parametrize(
    ("al", "expected"),
    [(4.0, ["wait-3", "wait-3"]), (0.5, []), (9.0, ["wait-5", "wait-3", "wait-9"])],
)
def test_the_best_within_a_lag(al: float, expected: list[str]) -> None:
    """Full-sentence search is out: its delays are those of nobody waiting. A bound of 4 admits 4."""
    assert [r["policy"] for r in best(RECORDS, al)] == expected


def test_a_page_says_its_units_and_signatures() -> None:
    text = page(RECORDS)
    assert text.startswith("# toys, 20 sentences\n")
    assert markdown(RECORDS) in text and markdown(best(RECORDS)) in text
    assert "tok:13a" in text and "nc:6" in text and "source words" in text
    assert "Best" not in page(with_kept([record("slow", "wait-9", 50.0, 9.0)]))


def test_csv_has_every_figure_of_any_record() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(RECORDS))))
    assert [float(row["bleu"]) for row in rows] == [r["bleu"] for r in RECORDS]
    assert rows[4]["timed"] == '{"rtf": 0.1}' and rows[0]["timed"] == rows[4]["yaal"] == ""
