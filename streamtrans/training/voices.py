"""A folder of speech in voices that were made from people's recordings: more to train on than espeak-ng has.

`python -m streamtrans.training.voices --data FOLDER --out FOLDER/voices`: sentences of the text corpora, spoken by SVOX
Pico (extra `voices`), flite and festival (Debian: flite, festival, festvox-kdlpc16k, festvox-us-slt-hts), as FLAC files
of 16 kHz, and manifest.tsv. They are too slow to speak while a model trains (10 ms to 0.3 s a sentence), so they speak
once. flite's voice awb is not in it: it is kept for scores.

It knows text and programs that speak. It does not know models.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.models.config import ConfigError
from streamtrans.training.corpus import read_pairs
from streamtrans.training.recipe import Corpus
from streamtrans.training.synthesis import SynthesisError
from streamtrans.training.transcript import spoken, transcript

PICO = {"us": "en-US", "gb": "en-GB"}
HELD_OUT = "awb"  # for scores, never for training
FLITE = ("slt", "rms", "kal16", HELD_OUT)
FESTIVAL = {"ked": "ked_diphone", "hts": "cmu_us_slt_arctic_hts"}
# how much of the folder each speaks: more of those that sound most like people
SHARES = {"us": 0.3, "gb": 0.3, "slt": 0.09, "rms": 0.09, "kal16": 0.07, "ked": 0.1, "hts": 0.05}
# text/: where sentences come from, words in the longest, how much of the folder
TEXTS = (
    ("text/tatoeba.en-fr.train.tsv", 40, 0.6),
    ("text/europarl.en-fr.train.tsv.xz", 25, 0.4),
)
SECONDS = 120  # a program that takes longer for one sentence hangs


def speak(text: str, voice: str, rng: np.random.Generator) -> Samples:
    """(N,) samples of 16 kHz, at a speed and pitch drawn by `rng`. Raises SynthesisError, also if there are none."""
    speed, pitch = rng.uniform(0.8, 1.25), rng.uniform(0.8, 1.3)
    if voice in PICO:
        samples = _pico(PICO[voice], text, round(100 * speed), round(100 * pitch))
    else:
        samples = _program(voice, text, speed, pitch)
    if not len(samples):
        raise SynthesisError(f"{voice} is silent at {text!r}")
    return samples


def _program(voice: str, text: str, speed: float, pitch: float) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        if voice in FLITE:
            settings = f"duration_stretch={1 / speed:.2f}", f"f0_shift={pitch:.2f}"
            sets = [part for one in settings for part in ("--setf", one)]
            _run(["flite", "-voice", voice, *sets, "-t", text, "-o", str(path)])
        else:
            _run(["festival", "--pipe"], _scheme(text, FESTIVAL[voice], 1 / speed, path))
        try:
            samples, rate = soundfile.read(path, dtype="float32")
        except (OSError, soundfile.LibsndfileError) as error:
            raise SynthesisError(f"{voice} does not say {text!r}: {error}") from error
    return samples if rate == RATE else soxr.resample(samples, rate, RATE)


def _scheme(text: str, voice: str, stretch: float, path: Path) -> str:
    said = text.replace("\\", " ").replace('"', " ")
    return (
        f"(voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.2f})"
        f'(utt.save.wave (utt.synth (Utterance Text "{said}")) "{path}" \'riff)'
    )


def _run(command: Sequence[str], text: str = "") -> None:
    try:
        subprocess.run(
            command, input=text, text=True, check=True, capture_output=True, timeout=SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SynthesisError(f"{command[0]}: {error}") from error


@cache
def _pico_engine(language: str):  # type: ignore[no-untyped-def]  # ttspico has no types
    try:
        import ttspico
    except ImportError as error:
        raise SynthesisError("ttspico is not installed: pip install streamtrans[voices]") from error
    return ttspico.TtsEngine(language)


def _pico(language: str, text: str, speed: int, pitch: int) -> Samples:
    engine = _pico_engine(language)
    engine.rate, engine.pitch = speed, pitch
    data = engine.speak(text) or b""
    return np.frombuffer(data, np.int16).astype(np.float32) / np.float32(32768)


def sentences(data: Path, count: int, seed: int) -> list[str]:
    """English sentences as they are spoken, of all texts, in an order drawn by `seed`. Raises ConfigError."""
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for name, words, share in TEXTS:
        printed = list(
            dict.fromkeys(pair[0] for pair in read_pairs(data, Corpus(name, words=words)))
        )
        said = (spoken(printed[i], "en") for i in rng.permutation(len(printed)))
        chosen.extend(islice((line for line in said if line), round(count * share)))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _make(task: tuple[Path, str, str, int]) -> dict[str, str] | None:
    """One file, unless it is there; its line of the manifest. None if the voice refuses."""
    folder, text, voice, seed = task
    name = hashlib.sha256(f"{seed} {voice} {text}".encode()).hexdigest()[:12]
    path = folder / name[:2] / f"{name}.{voice}.flac"
    try:
        if not path.exists():
            samples = speak(text, voice, np.random.default_rng(int(name, 16)))
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            soundfile.write(part, samples, RATE, format="FLAC")
            part.rename(path)
        seconds = soundfile.info(path).duration
    except SynthesisError as error:
        print(error, file=sys.stderr)
        return None
    words = transcript(text, "en")
    if not 0.03 * len(words) < seconds < 0.25 * len(words) + 2:
        return None  # a program that stumbled
    place = str(path.relative_to(folder))
    return {"path": place, "seconds": f"{seconds:.2f}", "speaker": voice, "text": text}


def make_folder(
    data: Path, folder: Path, count: int, voices: Sequence[str], seed: int, processes: int
) -> int:
    """Speak `count` sentences and write the manifest; how many it has. What is there stays: a stopped run goes on."""
    shares = np.array([SHARES.get(voice, 1.0) for voice in voices])
    rng = np.random.default_rng((seed, 1))
    drawn = rng.choice(len(voices), count, p=shares / shares.sum())
    texts = sentences(data, count, seed)
    tasks = [(folder, text, voices[i], seed) for text, i in zip(texts, drawn, strict=False)]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        rows = [row for row in pool.map(_make, tasks, chunksize=20) if row]
    if not rows:
        raise ConfigError(f"{folder}: no voice speaks")
    with (folder / "manifest.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, list(rows[0]), delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None
        )
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="Speak sentences in voices made from recordings.")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ in it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24_000)
    parser.add_argument("--voices", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    made = make_folder(args.data, args.out, args.count, args.voices, args.seed, args.processes)
    print(f"{args.out}: {made} utterances")


if __name__ == "__main__":
    main()
