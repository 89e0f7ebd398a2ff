"""Small sets of recordings for the toys that hear: noise, which is speech to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fakes
import numpy as np
import soundfile

from streamtrans.audio.pcm import Samples
from streamtrans.evaluation.manifest import SpeechSet, load

RATE = 16_000


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def write(folder: Path, lines: Sequence[Sequence[object]], *columns: str) -> Path:
    """A manifest."""
    path = folder / "manifest.tsv"
    rows = [columns, *lines]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def short(folder: Path, texts: Sequence[str], seconds: float = 1.5) -> SpeechSet:
    """A recording for each text, none like another, with made-up references of as many words and one more."""
    lines = []
    for i, text in enumerate(texts):
        sound = np.concatenate((quiet(0.2), fakes.noise(seconds + 0.3 * i, i), quiet(0.1 * i)))
        soundfile.write(folder / f"{i}.flac", sound, RATE)
        lines.append((i, f"{i}.flac", len(sound) / RATE, text, reference(text)))
    return load(write(folder, lines, "id", "path", "seconds", "text", "translation"), "en")


def long(folder: Path, texts: Sequence[str], seconds: float = 1.5) -> SpeechSet:
    """One recording of all texts, with pauses that end segments."""
    parts, at, lines = [quiet(0.5)], 0.5, []
    for i, text in enumerate(texts):
        parts += [fakes.noise(seconds, i), quiet(0.9)]
        lines.append((i, "long.flac", at, seconds, text, reference(text)))
        at += seconds + 0.9
    soundfile.write(folder / "long.flac", np.concatenate(parts), RATE)
    columns = ("id", "path", "begin", "seconds", "text", "translation")
    return load(write(folder, lines, *columns), "en")


def reference(text: str) -> str:
    return f"{' '.join(reversed(text.split()))} voilà"
