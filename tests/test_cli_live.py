"""Texts and recordings through servers in processes of their own, and the demo, as a user meets them."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import fakes
import numpy as np
import pytest
import soundfile
import webvtt
from command import LIMIT, process, refused, run, save_toy, save_toy_recognizer, serving
from streamtrans_clients.recording import Recording

from streamtrans import demo, pretrained
from streamtrans.evaluation.latency import Delays, corpus_latency
from streamtrans.evaluation.server_process import ServerError
from streamtrans.evaluation.simulate import simulate
from streamtrans.messages import Source, Target
from streamtrans.translator import load, load_engine

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "server"))

from fake_speech import PAUSE_MS, STEP_MS, WORD_MS, speech  # noqa: E402

SENTENCES = fakes.sentences(5, seed=7)
SPOKEN = TESTS / "data" / "speech" / "audio" / "013090147.opus"
SAID = "one two three. four five."


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_recognizer(tmp_path_factory.mktemp("models") / "ear")


@pytest.fixture(scope="module")
def url(toy: Path) -> Iterator[str]:
    """A server of the toy, which does not hear."""
    with serving("--model", str(toy), "--max-sessions", "2", "--recognizer", "none") as address:
        yield address


@pytest.fixture(scope="module")
def hearing_url() -> Iterator[str]:
    """Our server on an engine that hears the words of `fake_speech` and writes them in capitals."""
    command = [sys.executable, str(TESTS / "server" / "serve_fake.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("listening on ").strip()
        server.terminate()


def spoken(path: Path, text: str, rate: int = 16_000, channels: int = 1) -> Path:
    """A file of words, half a second of silence before them."""
    samples = np.frombuffer(bytes(rate) + speech(text, rate), "<i2")
    soundfile.write(path, np.stack([samples] * channels, 1), rate, subtype="PCM_16")
    return path


def lines(output: str, language: str) -> list[str]:
    """Of each segment its words, without their lags."""
    head = f"{language}  "
    found = [line.removeprefix(head) for line in output.splitlines() if line.startswith(head)]
    return [re.sub(r" \[-?\d+\]", "", line) for line in found]


def figures(output: str) -> dict[str, str]:
    """The table at the end."""
    table = output.rsplit("\n\n", 1)[1].splitlines()
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in table)


# --- text ------------------------------------------------------------------------------------------


def test_text_through_a_server(url: str, toy: Path, tmp_path: Path) -> None:
    """Two plain lines a segment where there is no terminal, then the table of figures."""
    file = tmp_path / "text.txt"
    file.write_text(" ".join(SENTENCES), encoding="utf-8")
    result = run("text", file, "--fast", "--url", url, "--policy", "wait-2")
    assert result.exit_code == 0, result.stderr
    lines = result.output.splitlines()
    assert [line[4:] for line in lines if line.startswith("en  ")] == SENTENCES
    assert len([line for line in lines if line.startswith("fr  ")]) == len(SENTENCES)
    figures = [line for line in lines if line.startswith(("AL", "LAAL", "lag"))]
    assert len(figures) == 4 and not any(line.endswith(" -") for line in figures)
    # what is shown is what `evaluate` would say of these sentences, at the pace of the hypotheses
    translations = simulate(load_engine(str(toy), "cpu", max_sessions=1), SENTENCES, "wait-2")
    al = corpus_latency(Delays(t.delays, len(t.source)) for t in translations).al
    assert f"{al:.2f} words" in next(line for line in lines if line.startswith("AL "))
    paced = run("text", file, "--pace", 1000, "--url", url, "--policy", "full")
    assert paced.exit_code == 0 and "first word after" in paced.output


def test_text_from_standard_input(url: str) -> None:
    with process("text", "-", "--url", url) as child:
        output, errors = child.communicate(b"the old house. a boat", timeout=LIMIT)
    assert child.returncode == 0 and not errors
    lines = output.decode().splitlines()
    assert [line for line in lines if line.startswith("en  ")] == [
        "en  the old house.",
        "en  a boat",
    ]


def test_text_says_what_is_wrong(url: str, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("a boat.", encoding="utf-8")
    refused(run("text", file, "--fast", "--url", url, "--policy", "soon"), "bad_policy")
    refused(run("text", file, "--fast", "--url", url, "--source", "xx"), "unsupported_language")
    refused(run("text", file, "--fast", "--url", url.replace("v1", "v0")), "HTTP 404")
    refused(run("text", file, "--fast", "--url", "localhost:8765"), "bad_url")
    refused(run("text", file, "--url", "ws://127.0.0.1:1/v1/translate"), "Connect call failed")
    refused(run("text", tmp_path / "none.txt", "--url", url), "none.txt")
    file.write_bytes(b"\xff")
    refused(run("text", file, "--fast", "--url", url), "utf-8")


# --- audio -----------------------------------------------------------------------------------------


def test_a_recording_in_real_time(hearing_url: str, tmp_path: Path) -> None:
    """Two channels at 44.1 kHz: what was said and what became of it, each word with its lag, then the figures."""
    file = spoken(tmp_path / "words.wav", SAID, 44_100, channels=2)
    began = time.monotonic()
    result = run("audio", file, "--url", hearing_url, "--policy", "wait-1")
    assert time.monotonic() - began > soundfile.info(file).duration
    assert result.exit_code == 0, result.stderr
    assert lines(result.output, "en") == ["one two three", "four five"]
    assert lines(result.output, "fr") == ["ONE TWO THREE", "FOUR FIVE"]
    lags = [int(lag) for lag in re.findall(r"\[(\d+)\]", result.output)]
    assert len(lags) == 5 and max(lags) < 2000
    table = figures(result.output)
    assert table["words, source / target"] == "5 / 5"
    median = float(table["lag behind the spoken word, median"].removesuffix(" ms"))
    assert median == pytest.approx(sorted(lags)[2], abs=1)
    # word i of n is written with the step after it: d_i = i * slot, at most; |X| = n * slot - pause, pace |X| / n
    slot = WORD_MS + STEP_MS
    expected = [_lagging([(i + 1) * slot for i in range(n)], n * slot - STEP_MS) for n in (3, 2)]
    for name in ("AL", "LAAL"):
        found = float(table[name].removesuffix(" ms"))
        assert found == pytest.approx(sum(expected) / 2, abs=STEP_MS)


def _lagging(delays: list[float], length: float) -> float:
    pace = length / len(delays)
    return sum(d - i * pace for i, d in enumerate(delays)) / len(delays)


def test_subtitles_as_fast_as_the_server_hears(hearing_url: str, tmp_path: Path) -> None:
    """Their times are those of the words in the recording, however fast it went."""
    file = spoken(tmp_path / "words.flac", " ".join([SAID] * 6), 8000)
    srt, vtt = tmp_path / "subtitles.txt", tmp_path / "a.vtt"
    began = time.monotonic()
    result = run(
        *("audio", file, "--fast", "--srt", srt, "--vtt", vtt),
        *("--url", hearing_url, "--policy", "wait-1"),
    )
    assert time.monotonic() - began < soundfile.info(file).duration / 2
    assert result.exit_code == 0, result.stderr
    slot = (WORD_MS + STEP_MS) / 1000
    begin, begins = 0.5, []
    for words in (3, 2) * 6:
        begins.append(begin)
        begin += words * slot + 2 * PAUSE_MS / 1000
    for cues in (webvtt.from_srt(str(srt)), webvtt.read(str(vtt))):
        assert [cue.text for cue in cues] == ["ONE TWO THREE", "FOUR FIVE"] * 6
        assert [cue.start_in_seconds for cue in cues][0] == int(begins[0])
        # a cue waits for the one before it to be read: SHORTEST is longer than some sentences
        starts = [_seconds(cue.start) for cue in cues]
        assert starts[0] == pytest.approx(begins[0], abs=0.005)
        assert all(start > spoken - 0.005 for start, spoken in zip(starts, begins, strict=True))
        assert all(start < spoken + 1 for start, spoken in zip(starts, begins, strict=True))


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def test_what_is_shown_is_what_the_engine_hears(toy: Path, ear: Path, tmp_path: Path) -> None:
    """Ogg Opus through the real engine with a recogniser that hears at random: the same as in this process, whether
    the second of silence in the middle ends a segment or the pause that is asked for is longer.
    """
    options = ("--model", str(toy), "--recognizer", str(ear), "--max-sessions", "2")
    sound, rate = soundfile.read(SPOKEN)
    file, shown = tmp_path / "twice.ogg", []
    both = np.concatenate([sound, np.zeros(rate), sound])
    soundfile.write(file, both, rate, format="OGG", subtype="OPUS")
    translator = load(str(toy), "cpu", max_sessions=1, recognizer=str(ear))
    with serving(*options, "--device", "cpu") as address:
        for pause in (600, 2000):
            asked = "--url", address, "--policy", "wait-2", "--pause", pause
            result = run("audio", file, "--fast", *asked)
            assert result.exit_code == 0, result.stderr
            with translator.open("wait-2", rate=rate, pause=pause) as session:
                events = session.feed_audio(b"".join(Recording(file).pieces())) + session.end()
            for language, side in (("en", Source), ("fr", Target)):
                words = [event.text for event in events if isinstance(event, side)]
                shown.append(" ".join(lines(result.output, language)).split())
                assert words and shown[-1] == words
    assert shown[0] != shown[2]


def test_audio_says_what_is_wrong(url: str, hearing_url: str, tmp_path: Path) -> None:
    """One line and no traceback, and no empty file of subtitles that would be in the way of the next try."""
    file = spoken(tmp_path / "words.wav", SAID)
    srt = tmp_path / "words.srt"
    refused(run("audio", file, "--url", url, "--srt", srt), "unsupported_kind", "text")
    nobody = "ws://127.0.0.1:1/v1/translate"
    refused(run("audio", file, "--url", nobody, "--srt", srt), "Connect call failed")
    assert not srt.exists()
    there = "--url", hearing_url
    refused(run("audio", file, *there, "--policy", "soon"), "bad_policy")
    refused(run("audio", file, *there, "--pause", "100"), "bad_pause", "200 to 5000")
    refused(run("audio", file, *there, "--target", "xx"), "unsupported_language")
    refused(run("audio", tmp_path / "none.wav", *there), "none.wav")
    refused(run("audio", Path(__file__), *there), "cannot be heard")
    srt.write_text("mine")
    refused(run("audio", file, *there, "--srt", srt), "words.srt")
    assert srt.read_text() == "mine"


def test_a_file_that_breaks_off_ends_with_its_error(hearing_url: str, tmp_path: Path) -> None:
    """After what was heard of it: the session does not wait for the rest."""
    rng = np.random.default_rng(
        1
    )  # what FLAC cannot make small, so that half of the file is half of the sound
    path, srt = tmp_path / "torn.flac", tmp_path / "torn.srt"
    soundfile.write(path, rng.integers(-9000, 9000, 160_000, np.int16), 16_000)
    path.write_bytes(path.read_bytes()[:150_000])
    options = ("--fast", "--srt", srt, "--url", hearing_url)
    refused(run("audio", path, *options), "torn.flac")


# --- demo ------------------------------------------------------------------------------------------


def test_the_demo_needs_nothing_but_itself() -> None:
    """It brings its server, its model and its text, and leaves nothing running."""
    result = run("demo", "--text", "--pace", 20)
    assert result.exit_code == 0, result.stderr
    assert len(lines(result.output, "en")) == 7
    words = next(
        line for line in result.output.splitlines() if line.startswith("words, source / target")
    )
    assert words.split()[-3] == "100"
    assert figures(result.output)["AL"].endswith(" words")


def test_the_demo_without_a_recogniser_says_so_before_it_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def started(*options: str) -> NoReturn:
        raise ServerError(f"started with {options[-2:]}")

    monkeypatch.setattr(pretrained, "find_recognizer", lambda *which: None)
    monkeypatch.setattr(demo, "fresh", started)
    result = run("demo")
    refused(result, "started with ('--recognizer', 'none')")
    assert result.stdout.startswith("No recogniser of English is embedded yet")


def test_the_demo_speaks(ear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a recogniser, here one that hears at random, it shows recordings, and what was really said."""
    (tmp_path / "a.ogg").write_bytes(SPOKEN.read_bytes())
    manifest = "path\tlanguage\ttitle\ttext\na.ogg\ten\tOne voice\ttomorrow is a big day\n"
    (tmp_path / "manifest.tsv").write_text(manifest)
    monkeypatch.setattr(demo, "RECORDINGS", tmp_path)
    result = run("demo", "--recognizer", ear)
    assert result.exit_code == 0, result.stderr
    assert "One voice" in result.output and "what was said: tomorrow is a big day" in result.output
    assert any(lines(result.output, "en")) and any(lines(result.output, "fr"))
    assert "lag behind the spoken word" in result.output
    refused(run("demo", "--recognizer", tmp_path / "none"), "no recogniser")
    refused(run("demo", "--model", "zh-en"), "the demo has nothing to say to zh-en in 'zh'")


def test_what_the_demo_plays_is_small_and_short() -> None:
    with (demo.RECORDINGS / "manifest.tsv").open(encoding="utf-8", newline="") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    files = [demo.RECORDINGS / row["path"] for row in rows]
    assert {file.name for file in files} == {f.name for f in demo.RECORDINGS.glob("*.ogg")}
    assert all(file.stat().st_size < 200_000 for file in files)
    heard = [Recording(file) for file in files]
    seconds = [sum(map(len, one.pieces())) / 2 / one.rate for one in heard]
    assert all(5 < length < 16 for length in seconds) and sum(seconds) < 40
    assert all(row["title"] and row["text"] for row in rows)
