"""The `streamtrans evaluate` command. It knows options and what to print; the work is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamtrans.options import DEVICE, DTYPE, MODEL, THREADS, named_errors, set_threads

if TYPE_CHECKING:
    from streamtrans.evaluation.manifest import SpeechSet
    from streamtrans.evaluation.simulate import Translation

POLICIES = Annotated[
    list[str] | None, typer.Option("--policy", help="Again and again [wait-3].", show_default=False)
]


@named_errors
def evaluate(
    source: Annotated[Path | None, typer.Option(help="Source sentences, one a line.")] = None,
    target: Annotated[Path | None, typer.Option(help="Reference translations, one a line.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Speech instead: a TSV file, see docs/benchmarks.md.")
    ] = None,
    model: MODEL = "en-fr",
    recognizer: Annotated[
        str, typer.Option(help="For speech: auto, or the folder of a checkpoint.")
    ] = "auto",
    policy: POLICIES = None,
    limit: Annotated[
        int | None, typer.Option(help="The first recordings of a manifest only.", min=1)
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write translations here.")] = None,
    beam: Annotated[int, typer.Option(help="Hypotheses between two READs; 1: greedy.", min=1)] = 1,
    timed: Annotated[
        int, typer.Option(help="Sentences timed one by one (ca_*, lag_*, rtf).", min=0)
    ] = 50,
    pace: Annotated[float, typer.Option(help="Words a second of those.", min=0.01)] = 3.0,
    piece: Annotated[float, typer.Option(help="ms of speech that arrive at once.", min=1)] = 100.0,
    comet: Annotated[bool, typer.Option("--comet", help="COMET as well (an extra).")] = False,
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 2,
) -> None:
    """Translate a test set of text or speech through the engine with a simulated clock; print quality and latency."""
    set_threads(threads)
    policies = policy or ["wait-3"]
    if output and len(policies) > 1:
        raise ValueError("--output holds the translations of one policy; give one --policy")
    if manifest and not (source or target or comet):
        reports, translations = _speech(
            manifest, limit, (model, recognizer, device, dtype), policies, (beam, timed, piece)
        )
    elif source and target and not manifest:
        reports, translations = _text(
            source, target, (model, device, dtype), policies, (beam, timed, pace, comet)
        )
    else:
        raise ValueError("give --source and --target, or --manifest (which --comet does not score)")
    if json_file:
        figures = reports[0] if len(reports) == 1 else reports
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if output:
        output.write_text("".join(f"{t.text}\n" for t in translations), encoding="utf-8")


Figures = list[dict[str, Any]]


def _text(
    source: Path,
    target: Path,
    engine_of: tuple[str, str, str],
    policies: list[str],
    how: tuple[int, int, float, bool],
) -> tuple[Figures, list[Translation]]:
    import dataclasses

    from streamtrans.evaluation.report import evaluate as run
    from streamtrans.translator import load_engine

    beam, timed, pace, comet = how
    sources, references = _lines(source), _lines(target)
    engine = load_engine(*engine_of, max_sessions=256, max_batch=128, beam=beam)
    reports: Figures = []
    for policy in policies:
        report, translations = run(
            engine, sources, references, policy, timed=timed, pace=pace, with_comet=comet
        )
        reports.append(dataclasses.asdict(report))
        _print(reports[-1])
    return reports, translations


def _speech(
    manifest: Path,
    limit: int | None,
    engine_of: tuple[str, str, str, str],
    policies: list[str],
    how: tuple[int, int, float],
) -> tuple[Figures, list[Translation]]:
    import dataclasses

    from streamtrans.evaluation import speech_table
    from streamtrans.evaluation.manifest import load
    from streamtrans.evaluation.speech_report import evaluate as run
    from streamtrans.translator import load_engine

    model, recognizer, device, dtype = engine_of
    beam, timed, piece = how
    engine = load_engine(model, device, dtype, 64, 64, beam, recognizer=recognizer)
    speech = _translated(load(manifest, engine.model.source, limit), model, device, dtype)
    reports: Figures = []
    for policy in policies:
        report, translations = run(engine, speech, policy, timed=timed, piece=piece)
        reports.append(dataclasses.asdict(report))
        _print(reports[-1])
    typer.echo(f"\n{speech_table.markdown(reports)}\n{speech_table.legend(reports)}", nl=False)
    return reports, translations


def _translated(speech: SpeechSet, model: str, device: str, dtype: str) -> SpeechSet:
    """A set whose manifest has no translations gets those of the text model."""
    from streamtrans import pretrained
    from streamtrans.evaluation.manifest import ManifestError
    from streamtrans.evaluation.own_reference import TextModel
    from streamtrans.models import checkpoint
    from streamtrans.translator import find_device

    if speech.reference:
        return speech
    loaded = checkpoint.load(pretrained.find(model), *find_device(device, dtype))
    if loaded[0].config.direct:
        raise ManifestError(
            f"the manifest has no translations, and {model}, which translates speech, makes none of text"
        )
    return TextModel(*loaded).with_references(speech)


def _print(figures: Mapping[str, object]) -> None:
    for name, figure in figures.items():
        value = f"{figure:.4g}" if isinstance(figure, float) else f"{figure}"
        typer.echo(f"{name:<15} {value}")


def _lines(file: Path) -> list[str]:
    """As `wc` and editors count them: `splitlines` would also cut at U+2028 and U+0085, which corpora do hold."""
    with file.open(encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines]
