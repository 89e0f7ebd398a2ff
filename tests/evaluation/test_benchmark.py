"""A benchmark measures each cell once, goes on after a stop, and knows when a cell has become another one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest
import torch
from typer.testing import CliRunner, Result

from streamtrans import cli_bench
from streamtrans.cli import app
from streamtrans.evaluation import benchmark
from streamtrans.evaluation.benchmark import BenchmarkError, Settings, System, default_policies
from streamtrans.evaluation.journal import Journal, Record
from streamtrans.evaluation.report import evaluate
from streamtrans.evaluation.testsets import Bitext, load
from streamtrans.models import checkpoint
from streamtrans.policy import PolicyError
from streamtrans.translator import load_engine

SOURCES = fakes.sentences(6, seed=4, longest=8)
BITEXT = Bitext("toys", tuple((s, s.upper()) for s in SOURCES), ("en", "fr"))
SETTINGS = Settings(beam=2, timed=3)
POLICIES = ["wait-1", "wait-2", "full", "full-sentence"]
OPTIONS = [option for policy in POLICIES for option in ("--policy", policy)]
Model = Callable[..., System]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Makes checkpoints of toys."""

    def save(name: str = "toy", seed: int = 0, **changes: object) -> System:
        toy = fakes.model(seed, **changes)
        folder = tmp_path / "models" / name
        checkpoint.save(folder, toy.config, fakes.vocabulary(), toy.state_dict())
        return System(name, folder)

    return save


@pytest.fixture
def tsv(tmp_path: Path) -> Path:
    """The test set as a file."""
    path = tmp_path / "toys.tsv"
    path.write_text("".join(f"{s}\t{r}\n" for s, r in BITEXT.pairs))
    return path


def measured(
    journal: Journal, *systems: System, bitext: Bitext = BITEXT, settings: Settings = SETTINGS
) -> list[Record]:
    """The records of a run; `finished` tells which of them are older."""
    cells = benchmark.plan(systems, bitext, POLICIES, settings)
    return list(benchmark.run(cells, bitext, settings, journal))


def lines(folder: Path) -> list[Record]:
    """All that a journal holds."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def command(*arguments: object) -> Result:
    """`streamtrans bench quality` in this process."""
    return CliRunner().invoke(app, ["bench", "quality", *map(str, arguments), "--threads", "1"])


def test_a_record_has_what_evaluate_says_and_where_it_comes_from(
    model: Model, tmp_path: Path
) -> None:
    system, journal = model(), Journal(tmp_path / "journal.jsonl")
    records = measured(journal, system)
    assert [r["policy"] for r in records] == POLICIES
    bitext = BITEXT.by_length(after=3)
    engine = load_engine(str(system.folder), "cpu")
    for record in records[:3]:
        report, _ = evaluate(engine, bitext.sources, bitext.references, record["policy"], timed=3)
        for name in ("bleu", "chrf", "al", "laal", "dal", "ap", "yaal", "words", "signature"):
            assert record[name] == getattr(report, name)
        assert set(dataclasses.asdict(report)) < set(record)
        assert record["beam"] == 1 and record["timed"] == 3 and record["lag_p99"] > 0
    whole = records[3]
    lengths = [len(s.split()) for s in SOURCES]
    assert whole["al"] == pytest.approx(sum(lengths) / len(lengths)) and whole["beam"] == 2
    assert (whole["system"], whole["test"], whole["sentences"]) == ("toy", "toys", 6)
    assert whole["parameters"] == sum(p.numel() for p in fakes.model().parameters())
    assert whole["bytes"] == (system.folder / "model.safetensors").stat().st_size
    assert whole["versions"]["torch"] == torch.__version__.split("+")[0]
    assert Journal(journal.path).records == {r["key"]: r for r in records}


def test_what_is_in_the_journal_is_not_measured_again(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the model loaded for it."""
    path = tmp_path / "journal.jsonl"
    first = measured(Journal(path), model())
    monkeypatch.setattr(checkpoint, "load", None)
    assert measured(Journal(path), model()) == first
    assert len(lines(tmp_path)) == len(POLICIES)


def test_what_has_changed_is_measured_again(model: Model, tmp_path: Path) -> None:
    """Weights and test pairs change every cell, the beam only the full-sentence search, `timed` only the others."""
    journal = Journal(tmp_path / "journal.jsonl")
    keys = [r["key"] for r in measured(journal, model())]
    wider = [r["key"] for r in measured(journal, model(), settings=Settings(beam=3, timed=3))]
    assert wider[:3] == keys[:3] and wider[3] != keys[3]
    longer = [r["key"] for r in measured(journal, model(), settings=Settings(beam=2, timed=4))]
    assert not {*longer[:3]} & {*keys[:3]} and longer[3] == keys[3]
    shorter = Bitext("toys", BITEXT.pairs[:4], BITEXT.languages)
    for other in (measured(journal, model(), bitext=shorter), measured(journal, model(seed=1))):
        assert not {r["key"] for r in other} & set(keys)
    assert len(lines(tmp_path)) == 4 + 1 + 3 + 4 + 4


def test_a_cell_that_cannot_be_measured_does_not_hold_up_the_others(
    model: Model, tmp_path: Path
) -> None:
    """An offline model has no live policies; its full-sentence search is measured all the same."""
    journal = Journal(tmp_path / "journal.jsonl")
    records = measured(journal, model("offline", bidirectional=True), model("toy"))
    assert [r["policy"] for r in records if "error" in r] == ["wait-1", "wait-2", "full"]
    assert {(r["system"], "whole sentences" in r["error"]) for r in records[:3]} == {
        ("offline", True)
    }
    assert len(lines(tmp_path)) == 5


def test_policies_that_a_model_supports(model: Model) -> None:
    waits = ("wait-1", "wait-3", "wait-5", "wait-7", "wait-9", "full")
    assert default_policies(model().config) == (*waits, "full-sentence")
    offline = model(reversed_source=True, encoder="lstm", decoder="lstm", attention="fixed")
    assert default_policies(offline.config) == ("full-sentence",)
    assert default_policies(model(policy="full").config) == ("full", "full-sentence")
    monotonic = model(attention="infinite-lookback", policy="monotonic")
    assert default_policies(monotonic.config) == (*benchmark.MONOTONIC, "full-sentence")
    head = default_policies(model(policy_head=True).config)
    assert set(waits) < set(head) and "adaptive-1-6:0.9" in head and head[-1] == "full-sentence"
    assert benchmark.policy_names(head) == list(head)
    assert benchmark.policy_names(["adaptive-1-6:0.50", "full", "adaptive-1-6"]) == [
        "adaptive-1-6",
        "full",
    ]


def test_what_cannot_be_meant_is_said_before_the_work(model: Model, tmp_path: Path) -> None:
    system = model()
    with pytest.raises(BenchmarkError, match="two systems are called 'toy'"):
        benchmark.check([system, System("toy", tmp_path)], Bitext("any", BITEXT.pairs))
    with pytest.raises(BenchmarkError, match="toy translates en to fr, multi30k.en-de is en to de"):
        benchmark.check([system], Bitext("multi30k.en-de", BITEXT.pairs, ("en", "de")))
    with pytest.raises(PolicyError, match="no policy 'soon'"):
        benchmark.policy_names(["full-sentence", "soon"])
    with pytest.raises(BenchmarkError, match=r"no model 'en-xx'.*; no recipe 'en-xx'"):
        benchmark.find_system("en-xx", tmp_path)


def test_the_command_writes_its_files(model: Model, tsv: Path, tmp_path: Path) -> None:
    systems = model("small").folder, model("large", dim=64).folder
    out = tmp_path / "out"
    result = command(*systems, "--test", tsv, "--out", out, "--beam", 2, "--limit", 5, *OPTIONS)
    assert result.exit_code == 0, result.output + result.stderr
    records = lines(out)
    assert [(r["system"], r["policy"]) for r in records] == [
        (name, policy) for name in ("small", "large") for policy in POLICIES
    ]
    assert {r["sentences"] for r in records} == {5}
    assert result.output.count(" % before the source ends (expected ") == 8
    page = (out / "quality.md").read_text(encoding="utf-8")
    assert page.startswith("# toys, 5 sentences") and page in result.output
    assert sum(line.startswith(("| small", "| large")) for line in page.splitlines()) >= 8
    assert len((out / "quality.csv").read_text(encoding="utf-8").splitlines()) == 9
    assert (out / "quality.png").read_bytes().startswith(b"\x89PNG")
    again = command(*systems, "--test", tsv, "--out", out, "--beam", 2, "--limit", 5, *OPTIONS)
    assert again.output.count("(in the journal)") == 8 and lines(out) == records
    assert (out / "quality.md").read_text(encoding="utf-8") == page


def test_the_degenerate_policy_check_is_printed() -> None:
    """Full sentences have no word before the source ends, so there is nothing to expect of their lag."""
    record = dict(bleu=20.0, chrf=50.0, al=1.2, laal=1.4, swf=12.4, efsw=60.2, degenerate=True)
    line = cli_bench._figures(record)
    assert line.endswith("12 % before the source ends (expected 60)  DEGENERATE POLICY")
    line = cli_bench._figures({**record, "efsw": None, "swf": 0.0, "degenerate": False})
    assert line.endswith("AL   1.20  LAAL   1.40  0 % before the source ends (expected -)")


def test_a_run_that_was_killed_goes_on(model: Model, tsv: Path, tmp_path: Path) -> None:
    """Killed as soon as the journal has a cell; then each cell is there once, those from before the stop untouched."""
    out = tmp_path / "out"
    many = fakes.sentences(150, seed=4)  # so that a cell takes long enough to be killed in
    tsv.write_text("".join(f"{s}\t{s.upper()}\n" for s in many))
    arguments = [model().folder, "--test", tsv, "--out", out, "--timed", 0, *OPTIONS]
    run = [sys.executable, "-m", "streamtrans", "bench", "quality", *map(str, arguments)]
    path = out / "journal.jsonl"
    with subprocess.Popen([*run, "--threads", "1"], stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL, "it was over before it could be killed"
    before = lines(out)
    assert 1 <= len(before) < len(POLICIES)
    result = command(*arguments)
    assert result.exit_code == 0, result.stderr
    assert lines(out)[: len(before)] == before
    assert [r["policy"] for r in lines(out)] == POLICIES


RECIPE = """name = "small"
steps = 2
vocabulary = 340
tokens = 200
checkpoint_every = 1
model = {name="toy", source="en", target="fr", dim=16, heads=2, hidden=24, encoder_layers=1, decoder_layers=1}
train = [{path="a.tsv"}]
dev = [{path="a.tsv"}]
"""


def test_a_recipe_is_trained_once_and_then_measured(tsv: Path, tmp_path: Path) -> None:
    pairs = [f"{s}\t{s.upper()}\n" for s in fakes.sentences(60)]
    (tmp_path / "a.tsv").write_text("".join(pairs))
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    options = ("--test", tsv, "--data", tmp_path, "--runs", tmp_path / "runs", "--policy", "full")
    for _ in range(2):
        result = command(recipe, *options)
        assert result.exit_code == 0, result.stderr
    (record,) = lines(tmp_path / "runs" / "bench" / "toys")
    assert (record["system"], record["policy"]) == ("small", "full")
    journal = (tmp_path / "runs" / "small" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in journal if "loss" in line] == [2]


def test_the_command_says_what_is_wrong(model: Model, tsv: Path, tmp_path: Path) -> None:
    folder = model("offline", bidirectional=True).folder
    wrong = {
        ("en-xx", "--test", tsv): "no model 'en-xx'",
        (folder, "--test", "wmt"): "no test set 'wmt'",
        (folder, "--test", tsv, "--policy", "soon"): "no policy 'soon'",
        (folder, "--test", tsv, "--dtype", "int3"): "int3",
        (folder, "--test", tsv, "--policy", "wait-1"): "1 cells were not measured",
    }
    for arguments, says in wrong.items():
        result = command(*arguments, "--out", tmp_path / "out")
        assert result.exit_code == 2 and says in result.stderr, (result.stderr, result.exception)
    assert load(str(tsv), tmp_path).pairs == BITEXT.pairs
