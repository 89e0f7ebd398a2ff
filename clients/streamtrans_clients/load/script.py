"""What the sessions of a load say: words at a pace or speech in real time, over and over.

It knows files. It does not know who says it, nor to whom.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16_000
PIECE_MS = 80  # a live source sends a piece when it is whole
PAUSE_S = 1.0  # of silence after each recording
GOLDEN = (5**0.5 - 1) / 2
LONGEST_S = 600.0  # of recordings; the first of a folder count
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3")


class ScriptError(ValueError):
    """There is nothing to say in these files, or a file is not what it should be."""


@dataclass(frozen=True)
class Script:
    """items: words, or PCM of PIECE_MS; one of them every `interval` s. starts: where parts begin in them."""

    items: Sequence[str] | Sequence[bytes]
    starts: Sequence[int]
    interval: float

    def said_by(self, number: int) -> Iterator[str | bytes]:
        """All items without end; sessions of whatever number begin all over them."""
        start = self.starts[int(number * GOLDEN % 1 * len(self.starts))]
        return itertools.islice(itertools.cycle(self.items), start, None)


def text(files: Sequence[Path], pace: float) -> Script:
    """`pace` words a second; of a line with TABs, what is before the first. Raises ScriptError, OSError."""
    words: list[str] = []
    starts = []
    for file in files:
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.split():
                starts.append(len(words))
                words += line.split("\t")[0].split()
    if not words:
        raise ScriptError(f"no words in {', '.join(map(str, files))}")
    return Script(words, starts, 1 / pace)


def speech(place: Path) -> Script:
    """Recordings in real time: a folder with manifest.tsv or sound files in it, a manifest, or one file.

    A manifest is TSV with a column `path`, relative to it. Raises ScriptError, OSError.
    """
    pieces: list[bytes] = []
    starts = []
    size = RATE * PIECE_MS // 1000
    for file in recordings(place):
        samples = _samples(file)
        silence = np.zeros(int(PAUSE_S * RATE) + -len(samples) % size, np.int16)
        data = np.concatenate((samples, silence)).astype("<i2").tobytes()
        starts.append(len(pieces))
        pieces += [
            data[i : i + 2 * size] for i in range(0, len(data) // (2 * size) * 2 * size, 2 * size)
        ]
        if len(pieces) * PIECE_MS >= LONGEST_S * 1000:
            break
    return Script(pieces, starts, PIECE_MS / 1000)


def recordings(place: Path) -> list[Path]:
    """The files that `speech` reads, in order. Raises ScriptError, OSError."""
    manifest = place / "manifest.tsv" if place.is_dir() else place
    if manifest.suffix == ".tsv" and manifest.exists():
        header, *lines = manifest.read_text(encoding="utf-8").splitlines() or [""]
        if "path" not in header.split("\t"):
            raise ScriptError(f"{manifest}: the first line names no column path")
        column = header.split("\t").index("path")
        found = [manifest.parent / line.split("\t")[column] for line in lines if line]
    elif place.is_dir():
        found = sorted(file for file in place.rglob("*") if file.suffix in SOUNDS)
    else:
        found = [place]
    if not found:
        raise ScriptError(f"no recordings in {place}")
    return found


def _samples(file: Path) -> NDArray[np.int16]:
    """One channel of 16 kHz: (N,)."""
    try:
        sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ScriptError(f"{file}: {error}") from error
    mono = soxr.resample(sound.mean(axis=1), rate, RATE)
    return np.asarray(np.clip(mono * 32768, -32768, 32767), np.int16)
