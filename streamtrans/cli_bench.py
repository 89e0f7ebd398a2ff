"""The `streamtrans bench` commands. They know options and what to print; the work is elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamtrans.options import (
    DEVICE,
    DTYPE,
    MODEL,
    POLICY,
    RECOGNIZER,
    THREADS,
    named_errors,
    set_threads,
)

if TYPE_CHECKING:
    from streamtrans.evaluation.benchmark import Cell, Settings
    from streamtrans.evaluation.journal import Journal, Record
    from streamtrans.evaluation.testsets import Bitext

app = typer.Typer(no_args_is_help=True, help="Measure models, policies and servers.")


@app.command()
@named_errors
def quality(
    systems: Annotated[
        list[str],
        typer.Argument(help="Recipes (trained first if need be), embedded models or checkpoints."),
    ],
    test: Annotated[str, typer.Option(help="tatoeba.en-fr, ..., or the path of a TSV file.")],
    policy: Annotated[
        list[str] | None, typer.Option(help="Again and again [all that a model supports].")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="The first sentences only.", min=1)] = None,
    beam: Annotated[int, typer.Option(help="Width of the full-sentence search.", min=1)] = 4,
    live_beam: Annotated[
        int, typer.Option(help="Width of the search within what a policy may write.", min=1)
    ] = 1,
    timed: Annotated[
        int, typer.Option(help="Sentences for the computation-aware figures.", min=0)
    ] = 50,
    data: Annotated[Path, typer.Option(help="Folder of the corpora.")] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder of the trained recipes.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Folder of results [runs/bench/TEST].")] = None,
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 2,
) -> None:
    """Quality against latency: a journal, a CSV, a Markdown table and a picture.

    A run that was stopped goes on where it was: what is in the journal is not measured again, unless the weights, the
    test set or the settings have changed.
    """
    from streamtrans.evaluation import benchmark, curves, tables, testsets
    from streamtrans.evaluation.journal import Journal
    from streamtrans.translator import find_device

    curves.require_matplotlib()
    set_threads(threads)
    chosen = benchmark.policy_names(policy or ())
    settings = benchmark.Settings(beam, timed, *find_device(device, dtype), live_beam)
    bitext = testsets.load(test, data, limit)
    found = [benchmark.find_system(name, runs) for name in systems]
    benchmark.check(found, bitext)
    folder = out or runs / "bench" / bitext.name
    journal = Journal(folder / "journal.jsonl")
    for system in found:
        benchmark.train(system, data, settings.device)
    cells = benchmark.plan(found, bitext, chosen, settings)
    records = _measure(cells, bitext, settings, journal)
    finished = tables.with_kept([record for record in records if "error" not in record])
    if finished:
        page = tables.page(finished)
        (folder / "quality.md").write_text(page, encoding="utf-8")
        (folder / "quality.csv").write_text(tables.comma_separated(finished), encoding="utf-8")
        curves.draw(finished, folder / "quality.png")
        typer.echo(f"\n{page}\nquality.md, quality.csv, quality.png, journal.jsonl in {folder}")
    if len(finished) < len(records):
        raise benchmark.BenchmarkError(f"{len(records) - len(finished)} cells were not measured")


def _measure(
    cells: list[Cell], bitext: Bitext, settings: Settings, journal: Journal
) -> list[Record]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from streamtrans.evaluation import benchmark

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    records = []
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(cells))
        finished = benchmark.run(cells, bitext, settings, journal)
        for cell in cells:
            known = " (in the journal)" if cell.key in journal.records else ""
            progress.update(bar, description=f"{cell.system.name} {cell.policy}")
            record = next(finished)
            line = f"{cell.system.name:<24} {cell.policy:<18} {_figures(record)}{known}"
            progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            progress.advance(bar)
            records.append(record)
    return records


def _figures(record: Record) -> str:
    if "error" in record:
        return f"not measured: {record['error']}"
    figures = "  ".join(f"{n.upper()} {record[n]:6.2f}" for n in ("bleu", "chrf", "al", "laal"))
    expected = "-" if record["efsw"] is None else f"{record['efsw']:.0f}"
    early = f"{record['swf']:.0f} % before the source ends (expected {expected})"
    return f"{figures}  {early}" + ("  DEGENERATE POLICY" if record["degenerate"] else "")


@app.command()
@named_errors
def load(
    options: Annotated[
        list[str] | None, typer.Argument(help="Further options for `streamtrans serve`, after --.")
    ] = None,
    sessions: Annotated[
        int | None, typer.Option(help="One trial of so many; else search the largest.", min=1)
    ] = None,
    seconds: Annotated[float, typer.Option(help="With all sessions live.", min=1.0)] = 120.0,
    stagger: Annotated[float, typer.Option(help="Seconds over which they come.", min=0)] = 10.0,
    start: Annotated[int, typer.Option(help="Sessions of the first trial.", min=1)] = 16,
    start_against: Annotated[int, typer.Option(help="The same, of the other server.", min=1)] = 4,
    against: Annotated[
        str | None, typer.Option(help="simulstream (audio) or simuleval (text): the same there.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Say recordings: a folder, a manifest or a file.")
    ] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="Say these; again and again [the demo's text].")
    ] = None,
    pace: Annotated[float, typer.Option(help="Words of text a second.", min=0.01)] = 3.0,
    generators: Annotated[int, typer.Option(help="Processes of the load generator.", min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs/bench/load"),
    model: MODEL = "en-fr",
    recognizer: RECOGNIZER = "auto",
    policy: POLICY = "wait-3",
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 1,
) -> None:
    """How many live sessions one server holds: at most 0.1 % of the words over 1 s late, p95 of the lag 300 ms.

    Each trial has a fresh server process. load.json and load.md in --out.
    """
    from streamtrans import load_trial
    from streamtrans.evaluation.load import LoadResults, largest
    from streamtrans.evaluation.server_process import machine

    setup = load_trial.Setup(
        model, recognizer, policy, device, dtype, threads, audio=audio, pace=pace, seconds=seconds,
        generators=generators, options=tuple(options or ()), stagger=stagger,
        text=tuple(text or (load_trial.TEXT,)),
    )  # fmt: skip
    load_trial.check(setup, against)
    results = LoadResults(out, machine())
    typer.echo(results.head)

    def passes(server: str, count: int) -> bool:
        trial = load_trial.trial(server, setup, count)
        typer.echo(results.add(trial))
        return trial.passed

    for server, first in [("streamtrans", start), *([(against, start_against)] if against else [])]:
        if sessions:
            passes(server, sessions)
        else:
            results.found(server, largest(partial(passes, server), first))
    typer.echo(f"\n{results.foot}\nload.json, load.md in {out}")
