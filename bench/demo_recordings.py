"""The recordings that `streamtrans demo` plays: `python -m bench.demo_recordings --data FOLDER`.

FOLDER holds speechocean762-train. Writes streamtrans/pretrained/recordings: people whom the recipe en-fr-speech holds
out of its training, and sentences of our own, spoken by espeak-ng in voices that are held out, each as Ogg Opus.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.demo import RECORDINGS
from streamtrans.training.synthesis import Synthesizer, Voice
from streamtrans.training.transcript import transcript

CORPUS = Path("speechocean762-train")
PEOPLE = ("023800015", "030460142", "010270238")
ENGLISH = (
    "Good morning, and welcome to the station.",
    "The train leaves at nine o'clock.",
    "Thank you very much for your patience.",
)
MANDARIN = ("今天天气很好。", "很高兴认识你。", "我是学生。")
ENGLISH_VOICE = Voice("en-us+f4", rate=150)
MANDARIN_VOICE = Voice("cmn+f4")
PAUSE = 1.0  # s after each sentence, so that a segment ends
PEAK = 0.7


def people(folder: Path) -> Iterator[tuple[str, Samples]]:
    """What they said, as a transcript, and their samples."""
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as manifest:
        rows = {row["id"]: row for row in csv.DictReader(manifest, delimiter="\t")}
    for name in PEOPLE:
        samples, rate = soundfile.read(folder / rows[name]["path"], dtype="float32")
        assert rate == RATE
        yield transcript(rows[name]["text"], "en"), samples


def synthesised(sentences: Sequence[str], voice: Voice) -> Iterator[tuple[str, Samples]]:
    """The same of our sentences."""
    speaker = Synthesizer()
    for sentence in sentences:
        yield sentence, speaker.speak(sentence, voice).samples


def write(name: str, sentences: list[tuple[str, Samples]]) -> str:
    """Write the file; the text of it."""
    pause = np.zeros(int(PAUSE * RATE), np.float32)
    parts = [pause]
    for _, samples in sentences:
        parts += [samples * (PEAK / np.abs(samples).max()), pause]
    soundfile.write(RECORDINGS / name, np.concatenate(parts), RATE, format="OGG", subtype="OPUS")
    return " / ".join(text for text, _ in sentences)


def main() -> None:
    """Write all and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    RECORDINGS.mkdir(exist_ok=True)
    rows = [
        ("people.ogg", "en", "A recording of three people", people(args.data / CORPUS)),
        ("synthesised.ogg", "en", "A synthesised voice", synthesised(ENGLISH, ENGLISH_VOICE)),
        ("mandarin.ogg", "zh", "A synthesised voice", synthesised(MANDARIN, MANDARIN_VOICE)),
    ]
    with (RECORDINGS / "manifest.tsv").open("w", encoding="utf-8", newline="\n") as manifest:
        manifest.write("path\tlanguage\ttitle\ttext\n")
        for name, language, title, sentences in rows:
            manifest.write(f"{name}\t{language}\t{title}\t{write(name, list(sentences))}\n")


if __name__ == "__main__":
    main()
