"""Test sets of speech: a manifest, a TSV file with a header, one line for each sentence that was spoken.

Columns id, path, seconds, text (as it was said), and if there are any, begin, speaker and translations (translation,
translation_2, ...). Lines with `begin`, in s, are sentences of one long recording where their path is the same.

It knows files and texts. It does not know models or scores.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATES
from streamtrans.training.transcript import spoken, transcript

REQUIRED = ("id", "path", "seconds", "text")
OPTIONAL = ("begin", "speaker", "gender", "age")
TRANSLATION = "translation"
SLACK = 0.1  # s that a manifest and a file may differ by


class ManifestError(ValueError):
    """A manifest that cannot be meant, with the number of the line, or a recording that cannot be read."""


@dataclass(frozen=True)
class Sentence:
    """A sentence. begin, end: ms in its recording; transcript: as a recogniser should write it; references:
    translations, the first of which lengths and segments are taken from.
    """

    name: str
    begin: float
    end: float
    transcript: str
    references: tuple[str, ...] = ()

    @property
    def ms(self) -> float:
        """How long it lasts."""
        return self.end - self.begin


@dataclass(frozen=True)
class Recording:
    """A file and the sentences in it, in order. rate: samples a second; samples: how many, of one channel.

    long: its sentences are cut out of it for the scores, while it is heard as a whole.
    """

    path: Path
    rate: int
    samples: int
    sentences: tuple[Sentence, ...]
    speaker: str = ""
    long: bool = False

    @property
    def ms(self) -> float:
        """How long it lasts."""
        return 1000 * self.samples / self.rate

    @property
    def transcript(self) -> str:
        """Of all sentences."""
        return " ".join(sentence.transcript for sentence in self.sentences)

    def read(self) -> Samples:
        """(N,) from -1 to 1, channels mixed. Raises ManifestError."""
        try:
            samples, _ = soundfile.read(self.path, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            raise ManifestError(f"{self.path} cannot be read: {error}") from error
        return np.asarray(samples.mean(1), dtype=np.float32)

    def pcm(self) -> bytes:
        """As a client sends it: 16-bit little-endian, one channel. Raises ManifestError."""
        return to_pcm(self.read())


@dataclass(frozen=True)
class SpeechSet:
    """The recordings of a manifest in its order. reference: whose translations the references are; empty: none."""

    name: str
    recordings: tuple[Recording, ...]
    reference: str

    @property
    def sentences(self) -> list[Sentence]:
        """Of all recordings."""
        return [sentence for recording in self.recordings for sentence in recording.sentences]

    @property
    def long(self) -> bool:
        """Has it recordings of several sentences?"""
        return any(recording.long for recording in self.recordings)

    @property
    def digest(self) -> str:
        """SHA-256 of files, texts and references, as hexadecimal digits."""
        parts: list[object] = []
        for recording in self.recordings:
            parts.append(hashlib.sha256(recording.path.read_bytes()).hexdigest())
            parts += [[s.begin, s.end, s.transcript, *s.references] for s in recording.sentences]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def with_references(self, references: Sequence[str], reference: str) -> SpeechSet:
        """The same sentences with one reference each, whose translations `reference` says."""
        one = iter(references)
        recordings = (
            replace(r, sentences=tuple(replace(s, references=(next(one),)) for s in r.sentences))
            for r in self.recordings
        )
        return replace(self, recordings=tuple(recordings), reference=reference)


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    seconds: float
    begin: float | None
    speaker: str
    sentence: Sentence


def spread(recordings: Sequence[Recording], count: int) -> tuple[Recording, ...]:
    """At most so many, evenly spread: files of sentences are often sorted."""
    count = min(count, len(recordings))
    return tuple(recordings[i * len(recordings) // count] for i in range(count))


def to_pcm(samples: Samples) -> bytes:
    """Samples from -1 to 1 as 16-bit little-endian integers."""
    scaled = np.rint(samples * np.float32(32768)).clip(-32768, 32767)
    return bytes(scaled.astype("<i2").tobytes())


def load(
    path: Path, language: str, limit: int | None = None, name: str = "", sayable: bool = False
) -> SpeechSet:
    """A manifest of speech in `language`; limit: its first recordings. Paths are relative to its folder. sayable: lines
    with signs that nobody can say, or that another language has, are left out.

    `seconds` is checked against the file, whose own length counts. Raises ManifestError: a line that is not as the
    header says, an unknown column, a file that is not there or of a rate that no session takes, text with signs that
    nobody can say, a translation that is missing while others are there, sentences out of order.
    """
    rows = list(_rows(path, language, sayable))
    if not rows:
        raise ManifestError(f"{path} has no lines below its header")
    translated = bool(rows[0].sentence.references)
    for row in rows:
        if bool(row.sentence.references) != translated:
            raise _bad(path, row.line, "translations must be there for all lines or for none")
    groups = _by_recording(path, rows)[:limit]
    recordings = tuple(_recording(path, group) for group in groups)
    whose = "manifest" if translated else ""
    return SpeechSet(name or path.parent.name or path.stem, recordings, whose)


def _rows(path: Path, language: str, sayable: bool) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path} cannot be read as a manifest: {error}") from error
    header = lines[0] if lines else []
    _check_header(path, header)
    names: set[str] = set()
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(header):
            raise _bad(path, number, f"{len(cells)} columns, the header has {len(header)}")
        named = dict(zip(header, cells, strict=True))
        if sayable and spoken(named["text"], language) is None:
            continue
        row = _row(path, number, named, language)
        if row.sentence.name in names:
            raise _bad(path, number, f"id {row.sentence.name!r} comes twice")
        names.add(row.sentence.name)
        yield row


def _check_header(path: Path, header: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise _bad(path, 1, f"no column {', '.join(missing)} in the header")
    if len(set(header)) < len(header):
        raise _bad(path, 1, "a column comes twice")
    for name in header:
        if name not in (*REQUIRED, *OPTIONAL) and name.partition("_")[0] != TRANSLATION:
            known = ", ".join((*REQUIRED, *OPTIONAL, TRANSLATION, f"{TRANSLATION}_2"))
            raise _bad(path, 1, f"unknown column {name!r}; known are {known}, ...")


def _row(path: Path, line: int, cells: dict[str, str], language: str) -> _Row:
    seconds = _seconds(path, line, cells["seconds"])
    begin = _seconds(path, line, cells["begin"]) if cells.get("begin") else None
    if not seconds:
        raise _bad(path, line, "seconds must be over 0")
    if not cells["id"]:
        raise _bad(path, line, "the id is empty")
    said = spoken(cells["text"], language)
    if said is None:
        raise _bad(path, line, f"write text as it is said, in words: {cells['text']!r}")
    references = tuple(c for n, c in cells.items() if n.startswith(TRANSLATION) and c.strip())
    at = 1000 * (begin or 0.0)
    sentence = Sentence(
        cells["id"], at, at + 1000 * seconds, transcript(said, language), references
    )
    return _Row(line, cells["path"], seconds, begin, cells.get("speaker", ""), sentence)


def _seconds(path: Path, line: int, cell: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise _bad(path, line, f"{cell!r} is no time in seconds")
    return seconds


def _by_recording(path: Path, rows: list[_Row]) -> list[list[_Row]]:
    """Lines of one path with `begin` belong together; others are recordings of their own."""
    groups: dict[object, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.line if row.begin is None else row.path, []).append(row)
    for group in groups.values():
        for before, row in pairwise(group):
            if row.sentence.begin < before.sentence.end - 1000 * SLACK:
                raise _bad(path, row.line, "it begins before the sentence above it ends")
    return list(groups.values())


def _recording(manifest: Path, rows: list[_Row]) -> Recording:
    first, last = rows[0], rows[-1]
    file = manifest.parent / first.path
    try:
        head = soundfile.info(file)
    except (OSError, soundfile.LibsndfileError) as error:
        raise _bad(manifest, first.line, f"{file} cannot be read: {error}") from error
    if head.samplerate not in RATES:
        known = ", ".join(map(str, RATES))
        raise _bad(manifest, first.line, f"{head.samplerate} samples a second; use one of {known}")
    if not head.frames:
        raise _bad(manifest, first.line, f"{file} has no sound in it")
    ms = 1000 * head.frames / head.samplerate
    sentences = tuple(row.sentence for row in rows)
    if first.begin is None:
        if abs(ms / 1000 - first.seconds) > SLACK:
            raise _bad(manifest, first.line, f"{first.seconds} s, the file has {ms / 1000:.3f} s")
        sentences = (replace(first.sentence, end=ms),)
    if last.sentence.end > ms + 1000 * SLACK:
        raise _bad(manifest, last.line, f"it ends behind the file, which has {ms / 1000:.3f} s")
    long = first.begin is not None
    return Recording(file, head.samplerate, head.frames, sentences, first.speaker, long)


def _bad(path: Path, line: int, why: str) -> ManifestError:
    return ManifestError(f"{path}, line {line}: {why}")
