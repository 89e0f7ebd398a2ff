"""Test sets of speech, made of the test sentences of the text: `python -m bench.speech_set --data FOLDER --out FOLDER`.

FOLDER holds text/tatoeba.en-fr.test.tsv and text/europarl.en-fr.test.tsv (sentences of up to 25 words). N sentences of
each, spread over its file, are spoken by espeak-ng in voices that no training hears (`HELD_OUT` of synthesis.py), once
clean and once in rooms with noise, and alternate in one recording of some minutes. Each set is a folder with
manifest.tsv, French references (all that Tatoeba has) and FLAC files of 16 kHz. The same options give the same files.
`--recorded` adds flite's voice awb (`HELD_OUT` of voices.py), made from a person's recordings, which no training
hears either. `--dev` takes the dev sentences instead, for choosing between checkpoints. `--language zh` makes the sets
of Mandarin, of text/tatoeba.en-zh.test.tsv with English references.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.text.simplified import simplified
from streamtrans.training.augmentation import CLEAN, Augmentation, coloured_noise, mix
from streamtrans.training.speech_sources import sayable
from streamtrans.training.synthesis import SynthesisError, Synthesizer, Utterance, Voice
from streamtrans.training.voices import HELD_OUT, speak

WORDS = 25
CORPORA = {
    "en": {"tatoeba": "tatoeba.en-fr", "europarl": "europarl.en-fr"},
    "zh": {"tatoeba": "tatoeba.en-zh"},
}
NOISY = Augmentation(
    speed=0,
    silence=0,
    reverberation=(0.2, 0.6),
    reverberation_share=1,
    colour_share=0,
    noise=(5.0, 20.0),
    noise_share=1,
    level=(-25.0, -3.0),
    telephone_share=0,
)
PAUSE = (0.4, 1.5)  # s between two sentences of the long recording
FLOOR = 40.0  # dB of its speech over the noise of its room
COLUMNS = ["id", "path", "begin", "seconds", "speaker", "text"]


@dataclass(frozen=True)
class Line:
    """A source with all its references, and its number among the sources of its file."""

    number: int
    text: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """A line, who said it, and how it sounds."""

    name: str
    line: Line
    voice: Voice
    utterance: Utterance


def lines(path: Path, count: int, language: str = "en") -> list[Line]:
    """So many sentences that can be spoken, spread evenly over a file of pairs; all where there are not more. Chinese
    is the second of a pair, in either script.
    """
    references: dict[str, list[str]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            source, reference = line.rstrip("\n").split("\t")[:2]
            if language == "zh":
                source, reference = simplified(reference), source
            references.setdefault(source, []).append(reference)
    able = []
    for number, (source, some) in enumerate(references.items()):
        said = sayable(source, language)
        if said and len(source.split()) <= WORDS:
            able.append(Line(number, said, tuple(dict.fromkeys(some))))
    count = min(count, len(able))
    return [able[i * len(able) // count] for i in range(count)]


def say(corpus: str, chosen: Iterable[Line], seed: int, language: str = "en") -> list[Said]:
    """Each line in a held-out voice of its own; lines without sound are left out."""
    synthesizer = Synthesizer()
    said = []
    for line in chosen:
        voice = Voice.draw(language, _chance(seed, corpus, line.number), held_out=True)
        try:
            utterance = synthesizer.speak(line.text, voice)
        except SynthesisError:
            continue
        said.append(Said(f"{corpus}-{line.number:04}", line, voice, utterance))
    return said


def say_as(name: str, corpus: str, chosen: Iterable[Line], seed: int) -> list[Said]:
    """Each line in one of `training.voices`, at a speed and pitch of its own. SynthesisError if it cannot speak."""
    said = []
    for line in chosen:
        chance = _chance(seed, f"{name} {corpus}", line.number)
        utterance = Utterance(speak(line.text, name, chance), ())
        said.append(Said(f"{corpus}-{line.number:04}", line, Voice(name), utterance))
    return said


def write_set(folder: Path, said: Sequence[Said], augmentation: Augmentation, seed: int) -> None:
    """A recording for each sentence."""
    rows = []
    for one in said:
        chance = _chance(seed, one.name, 1)
        samples = augmentation.apply(one.utterance, chance).samples
        rows.append(_row(one, _write(folder, one.name, samples), None, len(samples) / RATE))
    _write_manifest(folder, rows)


def write_long(folder: Path, said: Sequence[Said], seconds: float, seed: int) -> None:
    """One recording with pauses and a quiet room around the sentences, as many as `seconds` hold."""
    chance = np.random.default_rng(seed)
    parts: list[Samples] = [_silence(chance)]
    rows, at = [], len(parts[0])
    for one in said:
        samples = CLEAN.apply(one.utterance, chance).samples
        if (at + len(samples)) / RATE > seconds:
            break
        rows.append(_row(one, Path("audio/long.flac"), at / RATE, len(samples) / RATE))
        parts += [samples, _silence(chance)]
        at += len(samples) + len(parts[-1])
    whole = np.concatenate(parts)
    _write(folder, "long", mix(whole, coloured_noise(len(whole), 1.0, chance), FLOOR).clip(-1, 1))
    _write_manifest(folder, rows)


def _silence(chance: np.random.Generator) -> Samples:
    return np.zeros(round(chance.uniform(*PAUSE) * RATE), np.float32)


def _chance(seed: int, name: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *name.encode()])


def _write(folder: Path, name: str, samples: Samples) -> Path:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    path = Path("audio") / f"{name}.flac"
    soundfile.write(folder / path, samples, RATE, subtype="PCM_16")
    return path


def _row(one: Said, path: Path, begin: float | None, seconds: float) -> dict[str, str]:
    row: dict[str, str] = {"id": one.name, "path": path.as_posix(), "seconds": f"{seconds:.3f}"}
    if begin is not None:
        row["begin"] = f"{begin:.3f}"
    row |= {"speaker": one.voice.name, "text": one.line.text}
    names = ("translation", *(f"translation_{i}" for i in range(2, 100)))
    return row | dict(zip(names, one.line.references, strict=False))


def _write_manifest(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    there = {name for row in rows for name in row}
    extra = sorted(there - set(COLUMNS), key=lambda name: (len(name), name))
    columns = [name for name in COLUMNS if name in there] + extra
    lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    text = "".join("\t".join(line) + "\n" for line in lines)
    (folder / "manifest.tsv").write_text(text, encoding="utf-8")


def main() -> None:
    """Write all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sentences", type=int, default=200, help="of each corpus")
    parser.add_argument("--minutes", type=float, default=5, help="of the long recording")
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="also in a voice made from a person's recordings (flite)",
    )
    parser.add_argument("--language", choices=sorted(CORPORA), default="en")
    parser.add_argument("--dev", action="store_true", help="of the dev sentences")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.recorded and args.language != "en":
        parser.error("--recorded: flite's voices speak English")
    part = "dev" if args.dev else "test"
    told: list[list[Said]] = []
    for corpus, name in CORPORA[args.language].items():
        chosen = lines(args.data / "text" / f"{name}.{part}.tsv", args.sentences, args.language)
        said = say(corpus, chosen, args.seed, args.language)
        write_set(args.out / f"{corpus}-clean", said, CLEAN, args.seed)
        write_set(args.out / f"{corpus}-noisy", said, NOISY, args.seed)
        if args.recorded:
            said_by_awb = say_as(HELD_OUT, corpus, chosen, args.seed)
            write_set(args.out / f"{corpus}-{HELD_OUT}", said_by_awb, CLEAN, args.seed)
        told.append(said)
    alternating = [one for pair in zip(*told, strict=False) for one in pair]
    write_long(args.out / "long", alternating, 60 * args.minutes, args.seed)
    print(f"{sum(map(len, told))} sentences of {part}: {args.out}")


if __name__ == "__main__":
    main()
