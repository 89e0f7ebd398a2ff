"""The embedded models: what is shipped, what it must not do worse, and that it streams as it was scored."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

import streamtrans
from streamtrans import pretrained
from streamtrans.engine import Engine
from streamtrans.evaluation.report import Report, evaluate
from streamtrans.evaluation.simulate import Translation, simulate
from streamtrans.messages import Event, Target
from streamtrans.translator import load_engine

FOLDER = pretrained.find("en-fr")
MOST_BYTES = 25_000_000
LEAST_BLEU = 25.0  # on the 100 pairs below, wait-3 and full
LINES = (Path(__file__).parent / "data" / "tatoeba.en-fr.tsv").read_text(encoding="utf-8")
PAIRS = [line.split("\t") for line in LINES.splitlines()]
SOURCES, REFERENCES = [p[0] for p in PAIRS], [p[1] for p in PAIRS]


@functools.cache
def engine(max_sessions: int = 64) -> Engine:
    return load_engine("en-fr", "cpu", "float32", max_sessions, max_batch=64)


@functools.cache
def scored(policy: str) -> tuple[Report, list[Translation]]:
    return evaluate(engine(), SOURCES, REFERENCES, policy)


def test_it_is_shipped_whole_small_and_with_its_card() -> None:
    assert pretrained.names() == ["en-fr", "zh-en"]
    files = {p.name: p.stat().st_size for p in FOLDER.iterdir()}
    assert {"model.safetensors", "config.json", "vocabulary.model"} < set(files)
    assert {"README.md", "scores.json"} < set(files)
    assert sum(files.values()) <= MOST_BYTES


def test_its_scores_are_complete() -> None:
    """What the card and `streamtrans models` show: each test set under each policy, with the signature."""
    rows = json.loads((FOLDER / "scores.json").read_text())
    policies = {row["policy"] for row in rows}
    assert {"wait-1", "wait-3", "full"} <= policies
    assert len(rows) == len({(row["test"], row["policy"]) for row in rows}) >= 2 * len(policies)
    for row in rows:
        assert row["model"] == "en-fr" and row["sentences"] > 0
        assert 0 < row["bleu"] < 100 and 0 < row["chrf"] < 100
        assert 0 < row["al"] <= row["laal"] and row["dal"] > 0 and row["ap"] > 0
        assert row["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


@pytest.mark.parametrize("policy", ["wait-3", "full"])
@pytest.mark.parametrize(
    ("source", "translation"),
    [("I am a student.", "Je suis étudiant."), ("nice to meet you", "ravi de vous rencontrer")],
)
def test_golden_sentences(policy: str, source: str, translation: str) -> None:
    assert simulate(engine(), [source], policy)[0].text == translation


@pytest.mark.parametrize("policy", ["wait-3", "full"])
def test_it_translates_no_worse(policy: str) -> None:
    report, _ = scored(policy)
    assert report.sentences == 100 and report.empty == 0
    assert report.bleu > LEAST_BLEU


def test_wait_3_lags_by_about_three_words() -> None:
    report, _ = scored("wait-3")
    assert 2 < report.al < 4 and report.al <= report.laal
    assert report.al < scored("full")[0].al - 1


def test_together_is_alone() -> None:
    """In float32, in batches of up to 64 and one at a time: the same words at the same time."""
    alone = [t for s in SOURCES[:40] for t in simulate(engine(1), [s], "wait-3")]
    assert alone == scored("wait-3")[1][:40]


def target(events: list[Event]) -> list[tuple[str, int]]:
    return [(e.text, e.read) for e in events if isinstance(e, Target)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_committed_words_do_not_depend_on_how_the_text_was_cut(size: int) -> None:
    text = " ".join(SOURCES[:8])
    translator = streamtrans.Translator(engine(1))
    said = []
    with translator.open("wait-3") as session:
        for start in range(0, len(text), size):
            said += target(session.feed(text[start : start + size]))
        said += target(session.end())
    read, expected = 0, []
    for t in scored("wait-3")[1][:8]:  # each sentence in a session of its own
        expected += [(w, read + d) for w, d in zip(t.target, t.delays, strict=True)]
        read += len(t.source)
    assert said == expected
