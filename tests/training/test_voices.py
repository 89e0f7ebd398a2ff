"""Voices made from recordings: they speak, each as its seed says, and a folder of them is a corpus."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from streamtrans.training import voices
from streamtrans.training.recipe import Speech
from streamtrans.training.speech_sources import read_source
from streamtrans.training.synthesis import SynthesisError

needs_flite = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("festival")) and "STREAMTRANS_CI" not in os.environ,
    reason="flite and festival are not installed: make system",
)


@pytest.mark.parametrize("voice", ["slt", "ked", "us"])
@needs_flite
def test_a_voice_says_a_sentence_as_its_seed_says(voice: str) -> None:
    if voice in voices.PICO:
        pytest.importorskip("ttspico", reason="the extra `voices` needs a C compiler")
    one, again, other = (
        voices.speak('He said "yes" to the 2 of us.', voice, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert 16_000 < len(one) < 64_000 and 0.05 < np.abs(one).max() <= 1
    assert len(one) == len(again)
    assert voice in voices.PICO or np.array_equal(one, again)  # Pico's noise is its own
    assert len(one) != len(other)


def test_a_voice_that_stays_silent_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(voices, "_program", lambda *_: np.zeros(0, np.float32))
    with pytest.raises(SynthesisError, match="silent"):
        voices.speak("Hello.", "slt", np.random.default_rng(1))
    assert voices._make((tmp_path, "Hello.", "slt", 1)) is None and not any(tmp_path.rglob("*.*"))


def test_a_program_that_is_not_there_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SynthesisError, match="flite"):
        voices.speak("Hello.", "slt", np.random.default_rng(1))


@needs_flite
def test_a_folder_of_voices_is_a_corpus_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    lines = [f"This is sentence {i}.\tVoici la phrase {i}." for i in range(8)]
    for name in ("tatoeba.en-fr.train.tsv", "europarl.en-fr.train.tsv.xz"):
        path = text / name
        if name.endswith("xz"):
            import lzma

            path.write_bytes(lzma.compress("\n".join(line + "\t1" for line in lines).encode()))
        else:
            path.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "voices"
    assert voices.make_folder(tmp_path, out, 10, ["kal16", "ked"], 1, 1) == 10
    files = sorted(out.glob("*/*.flac"))
    files[0].unlink()
    times = [file.stat().st_mtime_ns for file in files[1:]]
    assert voices.make_folder(tmp_path, out, 10, ["kal16", "ked"], 1, 1) == 10
    assert files[0].exists() and [file.stat().st_mtime_ns for file in files[1:]] == times

    source = read_source(tmp_path, Speech(recordings="voices/manifest.tsv"), "en")
    assert len(source.transcripts) == 10
    assert all(text.startswith("this is sentence") for text in source.transcripts)
    heard = source.utterance(0, np.random.default_rng(1))
    assert heard.seconds == pytest.approx(source.seconds[0], abs=0.01)
