"""Subtitles: read back by another library's parser, whole at every moment, readable."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from streamtrans_clients.captions import LINE, CaptionFile, Cue, Cues, balanced, srt, vtt

from streamtrans.messages import Done, Event, Segment, Source, Target

TEXT = (
    "Le fait que le Parlement se penche sur les causes du changement climatique est important. "
    "La Chine émet déjà plus de gaz à effet de serre que ce qui est supportable."
)


def events(text: str, every: float = 400.0) -> list[Event]:
    """One word each `every` ms, a segment at each full stop."""
    found: list[Event] = []
    for index, word in enumerate(text.split()):
        at = (index + 1) * every
        found.append(Source(len(found) + 1, f"s{index}", index, at))
        found.append(Target(len(found) + 1, word, index, index + 1, at, at + 20))
        if word.endswith("."):
            found.append(Segment(len(found) + 1, index + 1, index + 1))
    return found


def read(path: Path) -> list[webvtt.Caption]:
    reader = webvtt.from_srt if path.suffix == ".srt" else webvtt.read
    return list(reader(str(path)))


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_another_parser_reads_the_words_and_times_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"talk{suffix}"
    with CaptionFile(path) as captions:
        for event in events(TEXT):
            captions.show(event)
    cues = read(path)
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == TEXT
    assert cues[0].start == "00:00:00.400"
    assert max(len(line) for cue in cues for line in cue.lines) <= LINE
    assert all(len(cue.lines) <= 2 for cue in cues)
    for cue, following in zip(cues, cues[1:], strict=False):
        assert cue.start_in_seconds < cue.end_in_seconds <= following.start_in_seconds


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_the_file_is_whole_after_every_event(tmp_path: Path, suffix: str) -> None:
    """A crash, a full disk or a pulled plug loses the open cue and nothing before it."""
    path = tmp_path / f"talk{suffix}"
    with CaptionFile(path) as captions:
        seen: list[str] = []
        for event in events(TEXT):
            captions.show(event)
            if path.read_text():  # an SRT file without a cue is an empty file
                texts = [cue.raw_text for cue in read(path)]
                assert texts[: len(seen)] == seen
                seen = texts
            if isinstance(event, Segment):
                words = " ".join(seen).replace("\n", " ").split()
                assert len(words) == event.target_words


def test_the_source_side_and_an_end_without_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    with CaptionFile(path, "source") as captions:
        for event in (*events("un deux"), Done(9, 2, 2)):
            captions.show(event)
        assert path.read_text() == "1\n00:00:00,400 --> 00:00:01,800\ns0 s1\n\n"


def test_a_file_of_something_else_and_a_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"talk\.txt: captions are \.srt or \.vtt"):
        CaptionFile(tmp_path / "talk.txt")
    (tmp_path / "talk.srt").write_text("an hour of work")
    with pytest.raises(FileExistsError):
        CaptionFile(tmp_path / "talk.srt")
    assert (tmp_path / "talk.srt").read_text() == "an hour of work"


def test_marks_of_the_format_in_the_text() -> None:
    cue = Cue(1, 0.0, 3_600_000.0, ("a <b> --> & c",))
    assert vtt(cue) == "00:00:00.000 --> 01:00:00.000\na &lt;b&gt; --&gt; &amp; c\n\n"
    assert srt(cue) == "1\n00:00:00,000 --> 01:00:00,000\na <b> --> & c\n\n"
    (back,) = webvtt.from_buffer(io.StringIO(f"WEBVTT\n\n{vtt(cue)}"))
    assert (back.start, back.end) == ("00:00:00.000", "01:00:00.000")


def test_two_lines_are_alike_in_length() -> None:
    words = "one two three four five six seven eight nine ten eleven".split()
    assert balanced(words) == ("one two three four five six", "seven eight nine ten eleven")
    assert balanced(words[:5]) == ("one two three four five",)


def test_a_pause_ends_a_cue() -> None:
    cues = Cues()
    assert cues.word("one", 0.0) == []
    assert cues.word("two", 2100.0) == [Cue(1, 0.0, 1000.0, ("one",))]
    assert cues.segment() == [Cue(2, 2100.0, 3100.0, ("two",))]
    assert cues.segment() == []


def test_a_text_pasted_at_once_can_still_be_read() -> None:
    """All its words have one time; cues of no length would flash past."""
    cues = Cues()
    shown = [cue for word in TEXT.split() for cue in cues.word(word, 5.0)] + cues.segment()
    for cue in shown:
        assert cue.end - cue.start >= max(1000.0, 1000 * sum(map(len, cue.lines)) / 25)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Z", "Cs"]), min_size=1, max_size=100),
            st.floats(0, 5000),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_no_word_is_lost_and_no_cue_overlaps(words: list[tuple[str, float, bool]]) -> None:
    cues, shown, at = Cues(), [], 0.0
    for text, after, last in words:
        at += after
        shown += cues.word(text, at)
        shown += cues.segment() if last else []
    shown += cues.segment()
    letters = "".join(line for cue in shown for line in cue.lines).replace(" ", "")
    assert letters == re.sub("[\x00-\x1f\x7f-\x9f]", "", "".join(text for text, _, _ in words))
    assert [cue.number for cue in shown] == list(range(1, len(shown) + 1))
    assert all(len(line) <= LINE for cue in shown for line in cue.lines)
    assert all(1 <= len(cue.lines) <= 2 for cue in shown)
    for cue, following in zip(shown, shown[1:], strict=False):
        assert cue.start < cue.end <= following.start
