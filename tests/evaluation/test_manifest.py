"""A manifest is read as it is meant, or refused with the number of its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamtrans.evaluation.manifest import ManifestError, load

HEADER = "id\tpath\tseconds\ttext\ttranslation\ttranslation_2\n"


def tone(path: Path, rate: int = 16_000, seconds: float = 0.5, **how: str) -> None:
    """Two channels that are each other's opposite but for a tenth."""
    time = np.arange(round(rate * seconds)) / rate
    left = 0.5 * np.sin(2 * np.pi * 300 * time)
    soundfile.write(path, np.stack([left, -0.9 * left], 1), rate, **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tone(tmp_path / "a.wav", 8_000)
    tone(tmp_path / "b.flac")
    tone(tmp_path / "c.ogg", 48_000, subtype="OPUS")
    tone(tmp_path / "odd.wav", 12_345)
    tone(tmp_path / "long.flac", seconds=2.0)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    (tmp_path / "text.wav").write_text("no sound")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "manifest.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_files_of_any_kind(folder: Path) -> None:
    """Rates and channels as they come; text as a recogniser writes it; references as many as there are."""
    path = write(
        folder,
        HEADER
        + "one\ta.wav\t0.50\tIt's 5 o'clock.\tIl est cinq heures.\tCinq heures.\n"
        + "two\tb.flac\t0.5\tNo\tNon\t\n"
        + 'three\tc.ogg\t0.5\tShe said "yes"\tElle a dit « oui »\t\n',
    )
    speech = load(path, "en")
    assert (speech.name, speech.reference, speech.long) == (folder.name, "manifest", False)
    assert [r.rate for r in speech.recordings] == [8_000, 16_000, 48_000]
    assert [r.ms for r in speech.recordings] == [500, 500, 500]
    assert [s.transcript for s in speech.sentences] == ["it's five o'clock", "no", "she said yes"]
    assert [len(s.references) for s in speech.sentences] == [2, 1, 1]
    assert all(s.begin == 0 and s.ms == 500 for s in speech.sentences)
    pcm = np.frombuffer(speech.recordings[0].pcm(), "<i2")
    time = np.arange(4_000) / 8_000
    assert np.abs(pcm / 32768 - 0.025 * np.sin(2 * np.pi * 300 * time)).max() < 2e-4
    assert load(path, "en", limit=2).sentences == speech.sentences[:2]


def test_samples_of_16_bits_are_sent_as_they_are(tmp_path: Path) -> None:
    """To the last bit, the two ends of the range among them."""
    samples = np.array([0, 1, -1, 32767, -32768, 12345] * 1600, dtype=np.int16)
    soundfile.write(tmp_path / "x.flac", samples, 16_000)
    path = write(tmp_path, "id\tpath\tseconds\ttext\nx\tx.flac\t0.6\tyes\n")
    (recording,) = load(path, "en").recordings
    assert recording.pcm() == samples.tobytes()


def test_sentences_of_a_long_recording(folder: Path) -> None:
    path = write(
        folder,
        "id\tpath\tbegin\tseconds\ttext\ttranslation\n"
        "1\tlong.flac\t0.1\t0.9\tone two\tun deux\n"
        "2\tlong.flac\t1.2\t0.7\tthree\ttrois\n"
        "3\tb.flac\t\t0.5\tfour\tquatre\n",
    )
    speech = load(path, "en")
    long, short = speech.recordings
    assert speech.long and long.long and not short.long
    assert [(s.begin, s.end) for s in long.sentences] == [(100, 1000), (1200, 1900)]
    assert (long.ms, long.transcript) == (2000, "one two three")
    digest = speech.digest
    path.write_text(path.read_text().replace("trois", "3"))
    assert load(path, "en").digest != digest == speech.digest
    one = load(path, "en", limit=1)
    assert one.recordings[0].sentences[0] == long.sentences[0] and len(one.sentences) == 2


def test_without_translations_others_can_be_given(folder: Path) -> None:
    path = write(folder, "id\tpath\tseconds\ttext\n1\tb.flac\t0.5\tfour\n2\ta.wav\t0.5\tfive\n")
    speech = load(path, "en")
    assert speech.reference == "" and not speech.sentences[0].references
    given = speech.with_references(["quatre", "cinq"], "mine")
    assert given.reference == "mine"
    assert [s.references for s in given.sentences] == [("quatre",), ("cinq",)]


GOOD = "one\tb.flac\t0.5\tno\tnon\t\n"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "no column id, path, seconds, text"),
        ("id\tpath\ttext\n", 1, "no column seconds"),
        (HEADER.replace("translation_2", "translatoin"), 1, "unknown column 'translatoin'"),
        (HEADER.replace("translation_2", "id"), 1, "a column comes twice"),
        (HEADER + GOOD + "two\tb.flac\t0.5\n", 3, "3 columns, the header has 6"),
        (HEADER + GOOD + GOOD, 3, "id 'one' comes twice"),
        (HEADER + GOOD.replace("one", ""), 2, "the id is empty"),
        (HEADER + GOOD.replace("0.5", "long"), 2, "'long' is no time"),
        (HEADER + GOOD.replace("0.5", "nan"), 2, "'nan' is no time"),
        (HEADER + GOOD.replace("0.5", "-1"), 2, "'-1' is no time"),
        (HEADER + GOOD.replace("0.5", "0"), 2, "over 0"),
        (HEADER + GOOD.replace("0.5", "0.8"), 2, "the file has 0.500 s"),
        (HEADER + GOOD.replace("no\t", "\t"), 2, "write text as it is said"),
        (HEADER + GOOD.replace("no\t", "a & b\t"), 2, "'a & b'"),
        (HEADER + GOOD.replace("b.flac", "gone.flac"), 2, "gone.flac cannot be read"),
        (HEADER + GOOD.replace("b.flac", "text.wav"), 2, "text.wav cannot be read"),
        (HEADER + GOOD.replace("b.flac", "empty.wav"), 2, "no sound"),
        (HEADER + GOOD.replace("b.flac", "odd.wav"), 2, "12345 samples a second"),
        (HEADER + GOOD + GOOD.replace("one", "two").replace("non", ""), 3, "for all lines or for"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder: Path, text: str, line: int, why: str) -> None:
    with pytest.raises(ManifestError, match=rf"manifest\.tsv, line {line}: .*") as error:
        load(write(folder, text), "en")
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("second", "why"),
    [("0.5\t0.5", "before the sentence above it ends"), ("1.5\t0.7", "behind the file")],
)
def test_sentences_that_do_not_fit(folder: Path, second: str, why: str) -> None:
    header = "id\tpath\tbegin\tseconds\ttext\n1\tlong.flac\t0.1\t0.9\tone\n"
    with pytest.raises(ManifestError, match="line 3") as error:
        load(write(folder, f"{header}2\tlong.flac\t{second}\ttwo\n"), "en")
    assert why in str(error.value)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read as a manifest"):
        load(tmp_path / "manifest.tsv", "en")
    with pytest.raises(ManifestError, match="no lines below its header"):
        load(write(tmp_path, HEADER), "en")
