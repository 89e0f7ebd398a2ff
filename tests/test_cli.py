"""The `streamtrans` command as a user meets it: what it prints, when, and how it says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import fakes
import pytest
from command import LIMIT, hear, process, refused, run, save_toy, say

from streamtrans import pretrained
from streamtrans.models import checkpoint

SENTENCES = fakes.sentences(5, seed=7)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("models") / "toy")


# --- models, evaluate, train -----------------------------------------------------------------------


def test_models_shows_what_is_embedded() -> None:
    result = run("models")
    assert result.exit_code == 0, result.stderr
    assert "en-fr  en -> fr, text, 16.4 MB" in result.output
    assert "wait-3   BLEU " in result.output
    assert str(pretrained.find("en-fr") / "README.md") in result.output
    assert "en-speech  en, speech, 17.0 MB" in result.output and "WER " in result.output


@pytest.fixture
def test_set(tmp_path: Path) -> tuple[Path, Path]:
    """Sources and references; one line of each holds a sign at which Python, unlike `wc`, begins a new line."""
    sources = [*SENTENCES, "", "an old\u2028boat."]
    (tmp_path / "a.en").write_text("".join(f"{s}\n" for s in sources), encoding="utf-8")
    (tmp_path / "a.fr").write_text("".join(f"{s.upper()}\r\n" for s in sources), encoding="utf-8")
    return tmp_path / "a.en", tmp_path / "a.fr"


def test_evaluate_prints_and_writes_its_figures(
    toy: Path, test_set: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = test_set
    figures, output = tmp_path / "figures.json", tmp_path / "out.fr"
    result = run(
        *("evaluate", "--source", source, "--target", target, "--model", toy, "--threads", 1),
        *("--policy", "wait-2", "--json", figures, "--output", output, "--device", "cpu"),
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads(figures.read_text())
    assert {"bleu", "chrf", "al", "laal", "ap", "dal", "words", "seconds", "signature"} < set(
        report
    )
    assert (report["model"], report["policy"], report["sentences"]) == ("toy", "wait-2", 7)
    assert (report["timed"], report["pace"], report["comet"]) == (7, 3.0, None)
    assert report["ca_al"] > 1000 / 3 * report["al"] > 0 and 0 < report["rtf"] < 1
    printed = dict(line.split(maxsplit=1) for line in result.output.splitlines())
    assert set(printed) == set(report)
    assert float(printed["al"]) == pytest.approx(report["al"], rel=1e-3)
    lines = output.read_text(encoding="utf-8").split("\n")
    assert len(lines) == 8 and lines[5] == lines[7] == ""
    assert sum(len(line.split(" ")) for line in lines if line) == report["words"]


def test_evaluate_says_what_is_wrong(toy: Path, test_set: tuple[Path, Path]) -> None:
    source, target = test_set
    files = ("evaluate", "--source", source, "--target", target, "--threads", 1)
    refused(run(*files, "--model", toy, "--policy", "soon"), "no policy 'soon'", "wait-3")
    refused(run(*files, "--model", "en-xx"), "no model 'en-xx'", "en-fr")
    refused(run(*files, "--model", toy, "--device", "tpu"), "no device 'tpu'")
    refused(run(*files, "--model", toy, "--comet"), "streamtrans[comet]")
    refused(run(*files[:3], "--target", source.with_name("none.fr"), "--model", toy), "none.fr")
    target.write_text("one line\n")
    refused(run(*files, "--model", toy), "7 sources for 1 references")
    refused(run("evaluate", "--source", source), "--source and --target, or --manifest")
    two = ("--policy", "wait-1", "--policy", "full")
    refused(run(*files, *two, "--output", target, "--model", toy), "one --policy")


RECIPE = """name = "toy"
steps = {steps}
vocabulary = 340
tokens = 200
checkpoint_every = 2
average = 2
model = {{name="toy", source="en", target="fr", dim=16, heads=2, hidden=24, encoder_layers=1, decoder_layers=1}}
train = [{{path="a.tsv"}}]
dev = [{{path="a.tsv"}}]
"""


def test_train_and_go_on(tmp_path: Path) -> None:
    lines = [f"{s}\t{s.upper()}\n" for s in fakes.sentences(60)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    recipe = tmp_path / "toy.toml"
    options = ("--data", tmp_path, "--out", tmp_path / "run", "--device", "cpu", "--threads", 1)
    recipe.write_text(RECIPE.format(steps=2))
    result = run("train", recipe, *options)
    assert result.exit_code == 0, result.stderr
    assert f"averaged model: {tmp_path / 'run' / 'averaged'}" in result.output
    recipe.write_text(RECIPE.format(steps=4))
    assert run("train", recipe, *options, "--resume").exit_code == 0
    journal = [
        json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in journal if "loss" in line] == [2, 4]
    model, _ = checkpoint.load(tmp_path / "run" / "averaged")
    assert model.config.name == "toy"
    refused(run("train", "en-xx"), "no recipe 'en-xx'", "en-fr-text")
    recipe.write_text(RECIPE.format(steps=2) + "step = 3\n")
    refused(run("train", recipe, *options), "unknown key step")
    refused(run("train", "en-fr-text", *options), "tatoeba.en-fr.train.tsv")


# --- translate -------------------------------------------------------------------------------------


def test_translate_speaks_before_the_line_is_over() -> None:
    """A line in is a line out, and its words come while it is still being typed."""
    with process("translate") as child:
        say(child, b"I am a student ")
        early = hear(child)
        assert early.strip() and b"\n" not in early
        say(child, b"of life. It is good.\n\nhello\n  \nwithout end")
        rest, errors = child.communicate(timeout=LIMIT)
    assert child.returncode == 0 and not errors
    lines = (early + rest).decode().split("\n")
    assert len(lines) == 6 and lines[5] == ""
    assert [bool(line) for line in lines[:5]] == [True, False, True, False, True]
    assert all(line == " ".join(line.split(" ")) == line.strip() for line in lines)


def test_translate_says_what_is_wrong() -> None:
    """Latin-1 in a pipe was a traceback in the first draft."""
    with process("translate") as child:
        output, errors = child.communicate("un café ".encode("latin-1"), timeout=LIMIT)
    assert (child.returncode, output) == (2, b"")
    assert (
        errors.startswith(b"streamtrans: 'utf-8' codec can't decode") and errors.count(b"\n") == 1
    )
    refused(run("translate", "--policy", "wait-0"), "wait-k needs k >= 1")
    refused(run("translate", "--dtype", "int3"), "int3")


# --- serve -----------------------------------------------------------------------------------------


def test_serve_says_what_is_wrong(tmp_path: Path, toy: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text("max_sesions = 3\n")
    refused(run("serve", "--config", config), "unknown key max_sesions", "max_sessions")
    refused(run("serve", "--config", tmp_path / "none.toml"), "none.toml")
    refused(run("serve", "--port", 70000), "port = 70000")
    refused(run("serve", "--port", 0, "--max-sessions", 2, "--model", "en-xx"), "no model 'en-xx'")
    refused(run("serve", "--port", 0, "--max-sessions", 2, "--model", toy, "--host", "192.0.2.1"))
