"""Small trials against real server processes: the verdict depends on the machine, the rest does not."""

from __future__ import annotations

import json
from pathlib import Path

import fakes
import pytest
from typer.testing import CliRunner

from streamtrans.cli import app
from streamtrans.evaluation.server_process import ServerError
from streamtrans.load_trial import Setup, check, trial
from streamtrans.models import checkpoint

SPEECH = Path(__file__).parent / "data" / "speech"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that translates nothing, but writes."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    model = fakes.model()
    checkpoint.save(folder, model.config, fakes.vocabulary(), model.state_dict())
    return str(folder)


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recogniser that hears something else every moment."""
    folder = tmp_path_factory.mktemp("models") / "ear"
    made = fakes.recognizer()
    checkpoint.save(folder, made.config, fakes.spoken_vocabulary(), made.state_dict())
    return str(folder)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences that the toy can spell."""
    file = tmp_path_factory.mktemp("text") / "toy.txt"
    file.write_text("\n".join(fakes.sentences(20)))
    return file


def test_three_sessions_for_three_seconds(toy: str, words: Path, tmp_path: Path) -> None:
    """12 words a second of three live sessions, from two generator processes."""
    options = f"--sessions 3 --seconds 3 --stagger 1 --pace 4 --generators 2 --policy wait-1 --model {toy}"
    command = f"bench load {options} --text {words} --out {tmp_path} -- --port 0"
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "load.json").read_text())
    (found,) = written["trials"]
    assert found["lost"] == {} and found["sessions"] == 3 and found["server"] == "streamtrans"
    assert found["commits"] >= 3 * 4 * 3 / 2
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert found["server_cores"] > 0 and found["generator_cores"] > 0
    assert 100 < found["memory_mib"] < 4000 and found["ready_s"] > 0
    assert (tmp_path / "load.md").read_text().splitlines()[2] in result.output


def test_a_refused_session_is_lost(toy: str, words: Path) -> None:
    """The server has one slot for two: the other comes back with 503, and the trial fails for it."""
    config = words.with_name("one.toml")
    config.write_text("max_sessions_per_address = 1\n")
    setup = Setup(
        toy,
        policy="wait-1",
        text=(words,),
        seconds=1.0,
        stagger=0.2,
        options=("--config", str(config)),
    )
    found = trial("streamtrans", setup, 2)
    (why,) = found.lost
    assert "429" in why and found.lost[why] == 1 and not found.passed
    assert found.commits > 0


def test_the_agent_server_of_simuleval_translates(toy: str, words: Path) -> None:
    """Two sessions are two processes of it; the words are those of our own server."""
    setup = Setup(toy, policy="wait-1", text=(words,), seconds=3.0, stagger=0.0, pace=2.0)
    check(setup, "simuleval")
    theirs = trial("simuleval", setup, 2)
    assert theirs.lost == {} and theirs.commits == trial("streamtrans", setup, 2).commits > 0


def test_recordings_are_said_to_our_server_and_to_that_of_simulstream(toy: str, ear: str) -> None:
    """Both hear the same; they write as many words, but for what the moment of the end lets through."""
    setup = Setup(toy, ear, "wait-1", audio=SPEECH, seconds=5.0, stagger=0.2)
    check(setup, "simulstream")
    ours, theirs = trial("streamtrans", setup, 2), trial("simulstream", setup, 2)
    assert ours.lost == theirs.lost == {} and ours.kind == "audio"
    assert ours.commits == pytest.approx(theirs.commits, rel=0.2) and ours.commits > 8
    assert ours.p50_ms > 0 and theirs.p50_ms > 0 and theirs.memory_mib > 100


def test_a_server_that_does_not_start_says_why(toy: str) -> None:
    setup = Setup(toy, "none", "wait-1", audio=SPEECH, seconds=1.0)
    with pytest.raises(ServerError, match="no recogniser"):
        trial("simulstream", setup, 1)


def test_what_cannot_be_compared_is_said_before_anything_starts(words: Path) -> None:
    with pytest.raises(ValueError, match="no server 'nobody'"):
        check(Setup(), "nobody")
    with pytest.raises(ValueError, match="simulstream is measured with audio, not with text"):
        check(Setup(), "simulstream")
    with pytest.raises(ValueError, match="simuleval is measured with text, not with audio"):
        check(Setup(audio=SPEECH), "simuleval")
    with pytest.raises(ValueError, match="no recogniser: name one"):
        check(Setup(audio=SPEECH, recognizer="none"), None)
    with pytest.raises(OSError, match="nowhere"):
        check(Setup(text=(Path("nowhere"),)), None)
