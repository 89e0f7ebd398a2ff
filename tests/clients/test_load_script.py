"""What the sessions of a load say."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamtrans_clients.load.script import PIECE_MS, RATE, ScriptError, recordings, speech, text

SPEECH = Path(__file__).parents[1] / "data" / "speech"
PIECE = RATE * PIECE_MS // 1000


def test_words_come_over_and_over_at_their_pace(tmp_path: Path) -> None:
    """Of a line of pairs, the source is said; sessions begin at different lines."""
    (tmp_path / "a.tsv").write_text("one two\tun deux\n\nthree\ttrois\n")
    (tmp_path / "b.txt").write_text("four five\n")
    script = text([tmp_path / "a.tsv", tmp_path / "b.txt"], 4.0)
    assert script.interval == 0.25
    assert list(islice(script.said_by(0), 7)) == [
        "one",
        "two",
        "three",
        "four",
        "five",
        "one",
        "two",
    ]
    assert {next(script.said_by(n)) for n in range(6)} == {"one", "three", "four"}


def test_recordings_are_cut_into_whole_pieces_with_a_pause_after_each(tmp_path: Path) -> None:
    """Of two channels the mean is said, of another rate what it is at 16 kHz."""
    tone = np.sin(np.arange(8000) / 8).astype(np.float32) * 0.5
    soundfile.write(tmp_path / "1.wav", np.stack((tone, tone * 0), 1), 8000)
    soundfile.write(tmp_path / "2.flac", np.full(RATE // 2, 0.25, np.float32), RATE)
    script = speech(tmp_path)
    assert script.interval == PIECE_MS / 1000 and {len(item) for item in script.items} == {
        2 * PIECE
    }
    sound = np.frombuffer(b"".join(script.items), "<i2")  # type: ignore[arg-type]
    second = script.starts[1] * PIECE
    assert script.starts[0] == 0 and 2 * RATE <= second < 2.1 * RATE
    assert np.abs(sound[:RATE]).max() == pytest.approx(8192, rel=0.05)
    assert not sound[RATE:second].any()
    assert (sound[second : second + RATE // 2] == 8192).all()
    assert not sound[second + RATE // 2 :].any() and len(sound) - second >= 1.5 * RATE


def test_the_shipped_recordings_are_six_speakers() -> None:
    script = speech(SPEECH)
    assert len(script.starts) == 6
    assert 25 < len(script.items) * script.interval < 27


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id\tfile\n1\ta.wav\n", "no column path"),
        ("", "no column path"),
        ("path\n", "no recordings"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "manifest.tsv").write_text(content)
    with pytest.raises(ScriptError, match=says):
        recordings(tmp_path)


def test_files_without_words_or_sound_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(ScriptError, match="no words"):
        text([tmp_path / "empty.txt"], 3.0)
    with pytest.raises(ScriptError, match="no recordings"):
        speech(tmp_path)
    with pytest.raises(ScriptError, match=r"empty\.txt"):
        speech(tmp_path / "empty.txt")
