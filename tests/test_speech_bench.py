"""From sentences to a table: test sets that espeak-ng speaks, `streamtrans evaluate`, `bench.speech_scores`, SimulEval.

The recogniser is a toy, so nothing of what it hears is right; what is measured has to be right all the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
import soundfile
from typer.testing import CliRunner, Result

from bench import speech_scores, speech_set
from streamtrans.cli import app
from streamtrans.engine import Engine
from streamtrans.evaluation.listen import listen
from streamtrans.evaluation.manifest import SpeechSet, load
from streamtrans.evaluation.own_reference import OWN, TextModel
from streamtrans.evaluation.speech_report import evaluate
from streamtrans.models import checkpoint
from streamtrans.training.synthesis import HELD_OUT
from streamtrans.translator import load_engine

CORPORA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name two toys."""
    folder = tmp_path_factory.mktemp("models")
    text, heard = fakes.model(), fakes.recognizer()
    checkpoint.save(folder / "toy", text.config, fakes.vocabulary(), text.state_dict())
    speech = folder / "toy-speech"
    checkpoint.save(speech, heard.config, fakes.spoken_vocabulary(), heard.state_dict())
    return ["--model", str(folder / "toy"), "--recognizer", str(speech)]


@pytest.fixture(scope="module")
def engine(models: list[str]) -> Engine:
    return load_engine(models[1], "cpu", "float32", 4, 4, recognizer=models[3])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora as in the data folder, and recordings of people without translations."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "text").mkdir()
    for name in ("tatoeba", "europarl"):
        lines = (CORPORA / f"{name}.en-fr.tsv").read_text(encoding="utf-8").splitlines()
        first = lines[0].split("\t")[0]
        lines.append(f"{first}\tUne autre traduction.")
        text = "".join(f"{line}\n" for line in lines)
        (folder / "text" / f"{name}.en-fr.test.tsv").write_text(text, encoding="utf-8")
    make_set(folder, folder / "made", 1)
    people = folder / "speech" / "an4-test"
    people.mkdir(parents=True)
    sound, rate = soundfile.read(next((folder / "made/tatoeba-clean/audio").glob("*.flac")))
    soundfile.write(people / "a.flac", sound, rate)
    row = f"a\ta.flac\t{len(sound) / rate:.3f}\tENTER NINE ONE\n"
    (people / "manifest.tsv").write_text("id\tpath\tseconds\ttext\n" + row)
    return folder


def make_set(data: Path, out: Path, sentences: int, *more: str) -> None:
    arguments = f"--data {data} --out {out} --sentences {sentences} --minutes 0.15"
    call(speech_set, *arguments.split(), *more)


def call(module: object, *arguments: object) -> None:
    """As `python -m bench...`, in this process."""
    before, sys.argv = sys.argv, ["bench", *map(str, arguments)]
    try:
        module.main()  # type: ignore[attr-defined]
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def sets(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    make_set(data, folder, 2)
    return folder


# --- the sets -------------------------------------------------------------------------------------


def test_sets_have_all_references_held_out_voices_and_two_kinds_of_sound(sets: Path) -> None:
    clean, noisy = (
        load(sets / f"tatoeba-{kind}" / "manifest.tsv", "en") for kind in ("clean", "noisy")
    )
    assert [s.transcript for s in clean.sentences] == [s.transcript for s in noisy.sentences]
    assert len(clean.sentences[0].references) >= 2
    assert "Une autre traduction." in clean.sentences[0].references
    for one, other in zip(clean.recordings, noisy.recordings, strict=True):
        assert one.speaker == other.speaker and one.speaker.split("+")[1] in HELD_OUT
        assert one.samples == other.samples and one.pcm() != other.pcm()
        assert one.rate == 16_000 and one.ms > 500
    assert len(load(sets / "europarl-noisy" / "manifest.tsv", "en").sentences) == 2


def test_the_same_options_give_the_same_files(data: Path, sets: Path, tmp_path: Path) -> None:
    make_set(data, tmp_path, 2)
    files = sorted(p.relative_to(sets) for p in sets.rglob("*") if p.is_file())
    assert len(files) == 4 * 3 + 2
    assert all((sets / f).read_bytes() == (tmp_path / f).read_bytes() for f in files)


@pytest.mark.skipif(
    not shutil.which("flite") and "STREAMTRANS_CI" not in os.environ,
    reason="flite is not installed: make system",
)
def test_a_voice_made_from_recordings_says_the_same_sentences(data: Path, tmp_path: Path) -> None:
    make_set(data, tmp_path, 2, "--recorded")
    both = [load(tmp_path / f"tatoeba-{kind}" / "manifest.tsv", "en") for kind in ("clean", "awb")]
    assert both[0].sentences[0].references == both[1].sentences[0].references
    assert {one.speaker for one in both[1].recordings} == {"awb"}
    assert all(one.rate == 16_000 and one.ms > 500 for one in both[1].recordings)


def test_the_long_recording_holds_the_sentences_where_it_says(sets: Path) -> None:
    """Sentences of both corpora in turns, pauses in between, a quiet room and no digital silence."""
    long = load(sets / "long" / "manifest.tsv", "en")
    (recording,) = long.recordings
    assert long.long and len(long.sentences) > 1 and recording.ms <= 9_000 + 1_500
    assert [s.name.split("-")[0] for s in long.sentences[:2]] == ["tatoeba", "europarl"]
    sound = recording.read()
    pause = sound[round(16 * long.sentences[0].end) : round(16 * long.sentences[1].begin)]
    inside = sound[round(16 * long.sentences[0].begin) : round(16 * long.sentences[0].end)]
    assert len(pause) >= 0.4 * 16_000 and 0 < pause.std() < inside.std() / 30


def test_sentences_are_spread_over_the_file(data: Path) -> None:
    path = data / "text" / "tatoeba.en-fr.test.tsv"
    every, some = speech_set.lines(path, 10_000), speech_set.lines(path, 5)
    assert len(every) > 20 and [line in every for line in some] == [True] * 5
    places = [every.index(line) for line in some]
    assert places == [i * len(every) // 5 for i in range(5)]


# --- the command ----------------------------------------------------------------------------------


def command(*arguments: object) -> Result:
    return CliRunner().invoke(
        app, ["evaluate", *map(str, arguments), "--device", "cpu", "--threads", "1"]
    )


def test_evaluate_prints_figures_and_a_row_for_each_policy(
    models: list[str], sets: Path, tmp_path: Path, engine: Engine
) -> None:
    manifest, figures = sets / "tatoeba-clean" / "manifest.tsv", tmp_path / "figures.json"
    policies = ("--policy", "wait-1", "--policy", "full")
    result = command("--manifest", manifest, *models, *policies, "--json", figures, "--timed", 2)
    assert result.exit_code == 0, result.stderr
    reports = json.loads(figures.read_text())
    assert [r["policy"] for r in reports] == ["wait-1", "full"]
    assert reports[0]["wer"] == reports[1]["wer"] > 0.5
    ours, _ = evaluate(engine, load(manifest, "en"), "wait-1")
    for name in ("al", "laal", "yaal", "bleu", "wer", "cer", "ne", "audio"):
        assert reports[0][name] == getattr(ours, name), name
    assert reports[0]["ca_laal"] > reports[0]["laal"] and reports[0]["timed"] == 2
    rows = [line for line in result.output.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and "wait-1" in rows[1] and rows[2].startswith("|  |  |  | full")


def test_evaluate_says_what_is_wrong_with_a_manifest(
    models: list[str], sets: Path, tmp_path: Path
) -> None:
    good = sets / "tatoeba-clean" / "manifest.tsv"
    bad = tmp_path / "manifest.tsv"
    bad.write_text(good.read_text(encoding="utf-8"), encoding="utf-8")
    for arguments, says in (
        (("--manifest", bad, *models), "line 2: "),
        (("--manifest", good, *models[:2], "--recognizer", "none"), "no recogniser"),
        (("--manifest", good, "--source", good, *models), "--source and --target, or --manifest"),
    ):
        result = command(*arguments)
        assert result.exit_code == 2 and says in result.stderr, result.stderr


# --- the table ------------------------------------------------------------------------------------


def test_the_table_of_a_model_card_and_its_journal(
    models: list[str], data: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set with references, the long one, and people against the model's own translation; not measured twice."""
    monkeypatch.setattr(speech_scores, "SPOKEN", ("tatoeba-clean", "long"))
    arguments = ["--data", data, "--sets", sets, *models, "--out", tmp_path, "--policies", "wait-3"]
    arguments += ["--timed", 1, "--threads", 1, "--limit", 1]
    call(speech_scores, *arguments)
    page = (tmp_path / "speech.md").read_text(encoding="utf-8")
    rows = {row["test"]: row for row in json.loads((tmp_path / "speech.json").read_text())}
    assert list(rows) == [*speech_scores.SPOKEN, "AN4 test"]
    assert rows["AN4 test"]["reference"] == OWN and OWN in page
    assert rows["tatoeba-clean"]["reference"] == "manifest"
    assert rows["long"]["stream_laal"] is not None and rows["long"]["al"] is None
    assert all(row["rtf"] > 0 for row in rows.values())
    assert "full sentences, beam 4" in page and page.count("tatoeba-clean (1)") == 2
    journal = (tmp_path / "journal.jsonl").read_bytes()
    call(speech_scores, *arguments)
    assert (tmp_path / "journal.jsonl").read_bytes() == journal


def test_a_direct_model_stands_beside_a_text_model_with_the_same_references(
    models: list[str], data: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []

    def seen(own: TextModel, speech: SpeechSet) -> SpeechSet:
        digests.append(with_references(own, speech).digest)
        return with_references(own, speech)

    with_references = TextModel.with_references
    monkeypatch.setattr(TextModel, "with_references", seen)
    direct, folder = fakes.direct_model(), tmp_path / "direct"
    written = (folder, direct.config, fakes.vocabulary(), direct.state_dict())
    checkpoint.save(*written, recognizer=Path(models[3]))
    arguments = ["--data", data, "--sets", sets, "--out", tmp_path, "--policies", "wait-3"]
    arguments += ["--timed", 1, "--threads", 1, "--limit", 1, "--only", "AN4", "--model"]
    with pytest.raises(SystemExit, match="--references"):
        call(speech_scores, *arguments, folder)
    call(speech_scores, *arguments, folder, "--references", models[1])
    call(speech_scores, *arguments, *models[1:])
    lines = (tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["reference"] for line in lines] == [OWN] * 2, "a line for each model"
    assert len(digests) == 2 and digests[0] == digests[1]
    with pytest.raises(SystemExit, match="zh-en does not translate en to fr"):
        call(speech_scores, *arguments, folder, "--references", "zh-en")


def test_recognition_alone_takes_dev_sets_only(
    models: list[str], data: Path, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--sets", sets, *models, "--quick"]
    call(speech_scores, *arguments)
    rows = capsys.readouterr().out.splitlines()[2:]
    names = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert names == list(speech_scores.SPOKEN[:4]), "no long one, no test recordings of people"
    with pytest.raises(SystemExit, match="no set"):
        call(speech_scores, *arguments, "--only", "nothing of that name")


# --- SimulEval ------------------------------------------------------------------------------------


def test_simuleval_gives_our_words_delays_and_figures(
    models: list[str], sets: Path, tmp_path: Path, engine: Engine
) -> None:
    """The real command with segments of 320 ms, against our own evaluation with pieces of 320 ms."""
    speech = load(sets / "europarl-clean" / "manifest.tsv", "en")
    files = "".join(f"{r.path}\n" for r in speech.recordings)
    (tmp_path / "wavs.txt").write_text(files)
    (tmp_path / "a.fr").write_text("".join(f"{s.references[0]}\n" for s in speech.sentences))
    line = [str(Path(sys.executable).with_name("simuleval"))]
    line += ["--agent-class", "streamtrans.evaluation.simuleval_agent.SpeechAgent"]
    line += ["--source", str(tmp_path / "wavs.txt"), "--target", str(tmp_path / "a.fr"), *models]
    line += ["--source-segment-size", "320", "--policy", "wait-2", "--no-progress-bar"]
    line += ["--output", str(tmp_path / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "out" / "instances.log").read_text(encoding="utf-8").splitlines()
    ours = listen(engine, speech.recordings, "wait-2", piece=320)
    assert len(log) == len(ours) == 2 and all(t.target for t in ours)
    for entry, translation, recording in zip(log, ours, speech.recordings, strict=True):
        theirs = json.loads(entry)
        said = ["".join(word.split()) for word in translation.target]
        assert theirs["prediction"].split() == said
        assert theirs["delays"] == translation.delays
        assert theirs["source_length"] == recording.ms
    report, _ = evaluate(engine, speech, "wait-2", piece=320)
    header, values = done.stdout.splitlines()[-2:]
    printed = dict(zip(header.split(), values.split(), strict=True))
    for name in ("LAAL", "AL", "AP", "DAL", "ATD"):
        assert float(printed[name]) == pytest.approx(getattr(report, name.lower()), abs=6e-4), name
