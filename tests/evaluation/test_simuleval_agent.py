"""The real `simuleval` command over our engine: the words, the delays and the figures of our own evaluation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from argparse import Namespace
from pathlib import Path

import fakes
import pytest

from streamtrans.engine import Engine
from streamtrans.evaluation.report import Report, evaluate
from streamtrans.evaluation.simulate import SimulationError, Translation, simulate
from streamtrans.policy import PolicyError
from streamtrans.translator import load_engine

# SimulEval pulls in pydub, which warns about audioop and a missing ffmpeg while it is imported.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from simuleval.data.segments import EmptySegment, TextSegment

    from streamtrans.evaluation import simuleval_agent
    from streamtrans.evaluation.simuleval_agent import TextAgent

AGENT = Path(simuleval_agent.__file__)
DATA = Path(__file__).parents[1] / "data"
FIGURES = ("BLEU", "LAAL", "AL", "AP", "DAL", "ATD")


def pairs() -> tuple[list[str], list[str]]:
    """30 short everyday sentences and 20 long ones from debates."""
    chosen = []
    for name, count in (("tatoeba", 30), ("europarl", 20)):
        lines = (DATA / f"{name}.en-fr.tsv").read_text(encoding="utf-8").splitlines()
        chosen += [line.split("\t") for line in lines[:count]]
    return [pair[0] for pair in chosen], [pair[1] for pair in chosen]


SOURCES, REFERENCES = pairs()


def simuleval(folder: Path, *arguments: str | Path) -> str:
    """What the command prints, on the embedded model under wait-3."""
    for name, lines in (("a.en", SOURCES), ("a.fr", REFERENCES)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [Path(sys.executable).with_name("simuleval"), *arguments]
    command += ["--source", folder / "a.en", "--target", folder / "a.fr", "--no-progress-bar"]
    command += ["--model", "en-fr", "--policy", "wait-3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def ours() -> tuple[Report, list[Translation]]:
    engine = load_engine("en-fr", "cpu", "float32", max_sessions=50, max_batch=50)
    return evaluate(engine, SOURCES, REFERENCES, "wait-3")


def test_the_figures_are_those_of_our_evaluation(
    ours: tuple[Report, list[Translation]], tmp_path: Path
) -> None:
    """To the three decimals it prints. Without --output, for with it SimulEval 1.1.4 takes words for ms in ATD."""
    header, values = simuleval(tmp_path, "--agent", AGENT).splitlines()[-2:]
    printed = dict(zip(header.split(), values.split(), strict=True))
    assert set(printed) == set(FIGURES)
    report = ours[0]
    for name in FIGURES:
        assert float(printed[name]) == round(getattr(report, name.lower()), 3), name
    assert report.bleu > 20 and 2 < report.al < 5


def test_the_words_come_after_the_same_reads(
    ours: tuple[Report, list[Translation]], tmp_path: Path
) -> None:
    """By class path. SimulEval ends a word at any white space, so a no-break space inside one of ours is left out."""
    agent = "streamtrans.evaluation.simuleval_agent.TextAgent"
    simuleval(tmp_path, "--agent-class", agent, "--output", tmp_path / "out")
    log = (tmp_path / "out" / "instances.log").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    assert len(lines) == len(SOURCES) == 50
    for line, translation in zip(lines, ours[1], strict=True):
        assert line["source"].split() == translation.source
        assert line["prediction"].split() == ["".join(w.split()) for w in translation.target]
        assert line["delays"] == translation.delays
    assert any("\u202f" in word for t in ours[1] for word in t.target), "the case that splits"
    assert any(d > 3 for d in lines[0]["delays"]) and lines[0]["delays"][0] == 3


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> tuple[TextAgent, Engine]:
    """The agent over a toy, in this process."""
    engine = fakes.engine(max_sessions=1)
    monkeypatch.setattr(simuleval_agent, "load_engine", lambda *args, **kwargs: engine)
    return TextAgent.from_args(arguments("wait-2")), engine


def arguments(policy: str) -> Namespace:
    return Namespace(model="toy", policy=policy, device="cpu", dtype=None, fp16=False)


def spoken(agent: TextAgent, words: list[str]) -> list[tuple[int, str]]:
    """As SimulEval drives it: words READ, word written."""
    written = []
    for number, word in enumerate(words, start=1):
        last = number == len(words)
        answer = agent.pushpop(TextSegment(index=number - 1, content=word, finished=last))
        assert answer.finished == last
        written += [(number, w) for w in ("" if answer.is_empty else answer.content).split()]
    agent.reset()
    return written


def test_each_sentence_has_a_session_of_its_own(toy: tuple[TextAgent, Engine]) -> None:
    """Even after one that was broken off. With one slot, a session left open would be an error here."""
    agent, engine = toy
    for sentence in fakes.sentences(3, seed=8):
        (alone,) = simulate(fakes.engine(), [sentence], "wait-2")
        assert spoken(agent, sentence.split()) == list(zip(alone.delays, alone.target, strict=True))
        assert engine.sessions == 0
        agent.pushpop(TextSegment(index=0, content="the", finished=False))
        assert engine.sessions == 1
        agent.reset()


def test_an_empty_line_is_finished_at_once(toy: tuple[TextAgent, Engine]) -> None:
    answer = toy[0].pushpop(EmptySegment(finished=True))
    assert answer.finished and not answer.content


def test_a_failure_of_the_engine_is_named(toy: tuple[TextAgent, Engine]) -> None:
    agent, engine = toy

    def write(*arguments: object) -> None:
        raise RuntimeError("broken")

    engine._model.write = write  # type: ignore[assignment, method-assign]
    with pytest.raises(SimulationError, match="internal"):
        spoken(agent, ["the", "old", "boat."])


def test_a_policy_that_is_none_is_named() -> None:
    with pytest.raises(PolicyError, match="no policy 'soon'"):
        TextAgent.from_args(arguments("soon"))
