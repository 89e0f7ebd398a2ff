"""How well a recogniser hears and what the engine makes of it, as in a model card.

    python -m bench.speech_set --data FOLDER --out SETS
    python -m bench.speech_scores --data FOLDER --sets SETS --recognizer FOLDER --out RESULTS

The sets of `bench.speech_set` against their references, and recordings of people under FOLDER/speech against the text
model's own translation of what was said: WER and CER once a set, BLEU, latency in ms of audio without and with the time
of computing, RTF. RESULTS gets journal.jsonl, speech.md and speech.json; a run that was stopped goes on where it was.

    python -m bench.speech_scores --data FOLDER --sets SETS --model DIRECT --references en-fr

A direct model of speech (`streamtrans train en-fr-direct`) against the same references as the text model en-fr.

    python -m bench.speech_scores --data FOLDER --sets DEV_SETS --recognizer FOLDER --quick

Recognition alone, WER and CER of dev sets (`bench.speech_set --dev`) and of dev recordings, for choosing a checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import soxr
import torch

from streamtrans import pretrained
from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.engine import Engine
from streamtrans.evaluation import manifest, speech_table
from streamtrans.evaluation.journal import Journal, Record
from streamtrans.evaluation.manifest import Recording, SpeechSet
from streamtrans.evaluation.markdown import head, row
from streamtrans.evaluation.own_reference import TextModel
from streamtrans.evaluation.recognition import (
    character_error_rate,
    recognize,
    word_error_rate,
)
from streamtrans.evaluation.speech_report import evaluate
from streamtrans.models import checkpoint
from streamtrans.training.speech_sources import held_out_speakers
from streamtrans.training.transcript import transcript
from streamtrans.translator import find_device, load_engine

POLICIES = ("wait-1", "wait-3", "wait-5", "wait-7", "full")
SPOKEN = ("tatoeba-clean", "tatoeba-noisy", "europarl-clean", "europarl-noisy", "long")
RECORDED = ("tatoeba-awb", "europarl-awb")
CEILING = f"""The text model on the true transcripts, full sentences, beam 4, against the same references:

{head(("test set", "BLEU", "chrF"))}"""
QUICK = ("dev set", "utterances", "WER (%)", "CER (%)", "RTF")


@dataclass(frozen=True)
class People:
    """Recordings under FOLDER/speech. held_out: of every so many speakers (recordings, where none are named) one, which
    training does not hear.
    """

    name: str
    folder: str
    held_out: int = 0
    language: str = "en"


REPORTED = (People("AN4 test", "an4-test"),)
DEV = (
    People("speechocean762, held-out speakers (dev)", "speechocean762-train", 12),
    People("Arctic A (dev)", "arctic-a-train"),
    People("AISHELL-1 S0150, held-out recordings (dev)", "aishell-s0150-train", 10, "zh"),
)


def sets(args: argparse.Namespace, language: str) -> Iterator[SpeechSet]:
    """What is there, of what `--only` names; dev recordings are not for reporting, and say so."""
    found = 0
    for name in () if args.sets is None else (*SPOKEN, *RECORDED):
        if args.only in name and not (args.quick and name == "long"):
            path = args.sets / name / "manifest.tsv"
            if path.is_file():
                yield some(manifest.load(path, language, name=name), args.limit)
                found += 1
    for people in DEV if args.quick else (*REPORTED, *DEV):
        if people.language != language:
            continue
        path = args.data / "speech" / people.folder / "manifest.tsv"
        if args.only in people.name and path.is_file():
            speech = manifest.load(path, language, name=people.name, sayable=True)
            if people.held_out:
                speech = apart(speech, path, people.held_out)
            yield some(speech, args.limit)
            found += 1
    if not found:
        raise SystemExit(f"no set under {args.data} or {args.sets} is called {args.only!r}")


def some(speech: SpeechSet, limit: int) -> SpeechSet:
    """At most `limit` recordings, spread over the set."""
    return replace(speech, recordings=manifest.spread(speech.recordings, limit))


def apart(speech: SpeechSet, path: Path, every: int) -> SpeechSet:
    """The recordings of those whom training does not hear."""
    kept = held_out_speakers(path, every)
    own = (
        one
        for one in speech.recordings
        if (one.speaker or one.path.relative_to(path.parent).as_posix()) in kept
    )
    return replace(speech, recordings=tuple(own))


def quick(args: argparse.Namespace) -> None:
    """Recognition alone, on one thread."""
    torch.set_num_threads(1)
    recognizer, vocabulary = checkpoint.load_recognizer(Path(args.recognizer))
    language = recognizer.config.language
    print(head(QUICK))
    for speech in sets(args, language):
        said = [recording.transcript for recording in speech.recordings]
        sounds = [samples(recording) for recording in speech.recordings]
        began = time.perf_counter()
        heard = [transcript(recognize(recognizer, vocabulary, x), language) for x in sounds]
        rtf = (time.perf_counter() - began) / sum(len(x) / RATE for x in sounds)
        wer, cer = word_error_rate(said, heard), character_error_rate(said, heard)
        figures = f"{100 * wer:.1f}", f"{100 * cer:.1f}", f"{rtf:.3f}"
        print(row((speech.name, str(len(said)), *figures)), flush=True)


def samples(recording: Recording) -> Samples:
    """Of 16 kHz."""
    read = recording.read()
    return read if recording.rate == RATE else soxr.resample(read, recording.rate, RATE)


def full(args: argparse.Namespace) -> None:
    """Every set under every policy."""
    torch.set_num_threads(args.threads)
    engine = load_engine(args.model, "auto", "auto", 64, 64, recognizer=args.recognizer)
    text = text_model(args.references or args.model, (engine.model.source, engine.model.target))
    journal = Journal(args.out / "journal.jsonl")
    device = find_device("auto", "auto")[0]
    weights = digests(args.model, args.recognizer, engine.model.source)
    if args.references:
        weights += digests(args.references, "none", engine.model.source)
    records: list[Record] = []
    ceilings: list[str] = []
    for speech in sets(args, engine.model.source):
        translated = text.with_references(speech)
        digest = translated.digest
        for policy in args.policies:
            parts = [*weights, speech.name, digest, policy, args.timed, args.piece, device]
            key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
            if key not in journal.records:
                journal.append({"key": key, **measured(engine, translated, policy, args)})
            records.append(journal.records[key])
            print(speech_table.markdown(records[-1:]).splitlines()[-1], flush=True)
        if speech.reference:
            key = hashlib.sha256(json.dumps([*weights, speech.name, digest]).encode()).hexdigest()
            if key not in journal.records:
                quality = text.ceiling(speech)
                journal.append({"key": key, "bleu": quality.bleu, "chrf": quality.chrf})
            ceilings.append(ceiling(speech, journal.records[key]))
    page = f"{speech_table.markdown(records)}\n{speech_table.legend(records)}"
    if ceilings:
        page += f"\n{CEILING}\n{''.join(ceilings)}"
    (args.out / "speech.md").write_text(page, encoding="utf-8")
    (args.out / "speech.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(f"\n{page}\njournal.jsonl, speech.md, speech.json in {args.out}")


def text_model(name: str, languages: tuple[str, str]) -> TextModel:
    """What makes references and ceilings: of written words, so no direct one. languages: of what is evaluated."""
    model, vocabulary = checkpoint.load(pretrained.find(name), *find_device("auto", "auto"))
    if model.config.direct:
        raise SystemExit(f"{name} READs no written words: name a text model with --references")
    if (model.config.source, model.config.target) != languages:
        raise SystemExit(f"{name} does not translate {' to '.join(languages)}")
    return TextModel(model, vocabulary)


def ceiling(speech: SpeechSet, record: Record) -> str:
    """A row: what the text model makes of the set if nothing is misheard and nothing is in haste."""
    name = f"{speech.name} ({len(speech.sentences)})"
    return row((name, f"{record['bleu']:.2f}", f"{record['chrf']:.1f}")) + "\n"


def measured(engine: Engine, speech: SpeechSet, policy: str, args: argparse.Namespace) -> Record:
    """The report, and where it was made."""
    report, _ = evaluate(engine, speech, policy, timed=args.timed, piece=args.piece)
    return {
        **dataclasses.asdict(report),
        "recognizer": args.recognizer,
        "device": find_device("auto", "auto")[0],
        "processor": platform.processor() or platform.machine(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def digests(model: str, recognizer: str, language: str) -> list[str]:
    """SHA-256 of the weights of both models, and of the recogniser's language model."""
    found = pretrained.find(model)
    folders = (found, pretrained.find_recognizer(recognizer, language, found))
    names = ("model.safetensors", checkpoint.LANGUAGE_MODEL)
    files = [folder / name for folder in folders if folder for name in names]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()]


def main() -> None:
    """Evaluate, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--sets", type=Path, help="folder that bench.speech_set wrote")
    parser.add_argument("--model", default="en-fr")
    parser.add_argument("--recognizer", default="auto", help="auto, or folder of a checkpoint")
    parser.add_argument(
        "--references",
        metavar="MODEL",
        help="text model that translates what was said where nobody has, --model unless that is a direct one",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/speech-scores"))
    parser.add_argument("--only", default="", help="sets whose name holds this")
    parser.add_argument("--limit", type=int, default=200, help="recordings of a set at most")
    parser.add_argument("--policies", nargs="*", default=POLICIES)
    parser.add_argument("--timed", type=int, default=20, help="recordings timed one by one")
    parser.add_argument("--piece", type=float, default=100.0, help="ms of audio at once")
    parser.add_argument("--threads", type=int, default=2, help="of what is not timed")
    parser.add_argument("--quick", action="store_true", help="recognition only, dev sets")
    args = parser.parse_args()
    if args.quick:
        quick(args)
    else:
        full(args)


if __name__ == "__main__":
    main()
