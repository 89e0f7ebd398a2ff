"""Where training speech comes from: sentences to be spoken, and recordings of people. Each row is an utterance.

It knows files, texts and voices. It does not know batches, noise or models.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr

from streamtrans.audio.resample import RATE
from streamtrans.models.config import ConfigError
from streamtrans.training.corpus import read_pairs
from streamtrans.training.recipe import Corpus, Speech
from streamtrans.training.synthesis import (
    ACCENTS,
    MISREAD,
    VARIANTS,
    SynthesisError,
    Synthesizer,
    Utterance,
    Voice,
)
from streamtrans.training.transcript import spoken, transcript

# s: a sentence lasts about so long a letter of its transcript, and so much more
LENGTHS = {"en": (0.062, 0.35), "zh": (0.111, 0.05)}


class Source(Protocol):
    """Utterances."""

    @property
    def seconds(self) -> np.ndarray:
        """(N,) about how long each lasts."""

    @property
    def transcripts(self) -> Sequence[str]:
        """What a recogniser should write of each."""

    @property
    def translations(self) -> Sequence[str]:
        """What a translator should; none if nobody gave any."""

    def utterance(
        self, row: int, rng: np.random.Generator, voices: Sequence[Voice] = ()
    ) -> Utterance:
        """Its sound. voices: to choose from; none: any."""


class SpokenText:
    """Sentences that espeak-ng speaks, in any of its voices. held_out: in those that are kept for scores."""

    def __init__(
        self,
        texts: Sequence[str],
        language: str,
        held_out: bool = False,
        translations: Sequence[str] = (),
    ) -> None:
        self._texts, self._language, self._held_out = texts, language, held_out
        self.translations = translations
        self.transcripts = [transcript(text, language) for text in texts]
        letter, more = LENGTHS.get(language, LENGTHS["en"])
        self.seconds = np.array([more + letter * len(t) for t in self.transcripts])

    @classmethod
    def read(
        cls, folder: Path, corpus: Speech, language: str, held_out: bool = False
    ) -> SpokenText:
        """The sources of a file of pairs, each once, with the first of its targets. Raises ConfigError."""
        text = Corpus(
            corpus.text,
            words=corpus.words,
            swap=corpus.swap,
            simplified=language == "zh",
            without=corpus.without,
        )
        texts: dict[str, str] = {}
        for source, target in read_pairs(folder, text):
            if said := sayable(source, language):
                texts.setdefault(said, target)
        return cls(list(texts), language, held_out, list(texts.values()))

    def utterance(
        self, row: int, rng: np.random.Generator, voices: Sequence[Voice] = ()
    ) -> Utterance:
        """A second of silence if no voice can speak it, which a run of days should survive."""
        voice = Voice.draw(self._language, rng, self._held_out)
        if voices:
            voice = voices[int(rng.integers(len(voices)))]
        try:
            return _synthesizer().speak(self._texts[row], voice)
        except SynthesisError:
            return Utterance(np.zeros(RATE, np.float32), ())


class Recordings:
    """What people said, from files."""

    def __init__(
        self,
        paths: Sequence[Path],
        seconds: Sequence[float],
        transcripts: Sequence[str],
    ) -> None:
        self._paths, self.transcripts = paths, transcripts
        self.translations: Sequence[str] = ()
        self.seconds = np.array(seconds)

    @classmethod
    def read(
        cls, folder: Path, corpus: Speech, language: str, held_out: bool = False
    ) -> Recordings:
        """Those of a manifest that training may have, or `held_out`, the others. Raises ConfigError."""
        manifest = folder / corpus.recordings
        rows = _manifest(manifest)
        kept = _apart(rows, corpus.held_out)
        paths, seconds, transcripts = [], [], []
        for row in rows:
            text, length = transcript(row["text"], language), float(row["seconds"])
            ours = ((row.get("speaker") or row["path"]) in kept) == (held_out and bool(kept))
            if ours and text and length <= corpus.seconds:
                paths.append(manifest.parent / row["path"])
                seconds.append(length)
                transcripts.append(text)
        return cls(paths, seconds, transcripts)

    def utterance(
        self, row: int, rng: np.random.Generator, voices: Sequence[Voice] = ()
    ) -> Utterance:
        """The file's samples at 16 kHz, one channel. Raises ConfigError if it cannot be read."""
        path = self._paths[row]
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            raise ConfigError(f"{path}: {error}") from error
        mono = samples.mean(1)
        return Utterance(mono if rate == RATE else soxr.resample(mono, rate, RATE), ())


def read_source(folder: Path, corpus: Speech, language: str, held_out: bool = False) -> Source:
    """The rows of one corpus of a recipe. Raises ConfigError if there are none."""
    made = SpokenText if corpus.text else Recordings
    source: Source = made.read(folder, corpus, language, held_out)
    if not len(source.transcripts):
        raise ConfigError(f"{folder / (corpus.text or corpus.recordings)}: nothing to hear in it")
    return source


def held_out_speakers(manifest: Path, every: int) -> set[str]:
    """Of every so many speakers one, whom training does not hear; where none are named each path is one. Raises
    ConfigError.
    """
    return _apart(_manifest(manifest), every)


def _apart(rows: list[dict[str, str]], every: int) -> set[str]:
    speakers = sorted({row.get("speaker") or row["path"] for row in rows})
    return set(speakers[::every]) if every else set()


def plain_voices(language: str, count: int) -> list[Voice]:
    """Some voices of the first accent, far apart in the list, at their own rate and pitch."""
    some = [VARIANTS[i * len(VARIANTS) // count] for i in range(count)]
    return [Voice(f"{ACCENTS[language][0]}+{variant}") for variant in some]


def sayable(source: str, language: str) -> str | None:
    """As espeak-ng is given it; None if it cannot be, or would be misread."""
    if language == "zh":
        source = source.replace(" ", "")  # espeak-ng reads words, of one character or several
    return None if MISREAD.search(source) else spoken(source, language)


@cache
def _synthesizer() -> Synthesizer:
    """One a process. It holds a C library, so it cannot be sent to one."""
    return Synthesizer()


def _manifest(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}") from error
    for number, row in enumerate(rows, 2):
        try:
            float(row["seconds"]), row["path"] + row["text"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}, line {number}: path, seconds or text is missing") from error
    return rows
