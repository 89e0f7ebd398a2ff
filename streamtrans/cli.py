"""The `streamtrans` command. It knows options and what to print; the work is elsewhere and imported when needed."""

from __future__ import annotations

import codecs
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamtrans import cli_bench, cli_live
from streamtrans.cli_evaluate import evaluate
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
    from streamtrans.engine import Engine
    from streamtrans.messages import Event

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cli_bench.app, name="bench")
for command in (cli_live.text, cli_live.audio, cli_live.mic, cli_live.demo, evaluate):
    app.command()(command)


@app.command()
@named_errors
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [8765].")] = None,
    model: MODEL = "en-fr",
    recognizer: RECOGNIZER = "auto",
    config: Annotated[Path | None, typer.Option(help="TOML file of server options.")] = None,
    max_sessions: Annotated[int | None, typer.Option(help="Sessions at once [1024].")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Engines in processes of their own, a core for each [1].")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error [info].")
    ] = None,
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 1,
) -> None:
    """Serve a model over websocket until SIGTERM."""
    from streamtrans_server import ServerConfig, run

    settings = ServerConfig.from_toml(
        config,
        host=host,
        port=port,
        max_sessions=max_sessions,
        workers=workers,
        log_level=log_level,
    )
    slots = -(-settings.max_sessions // settings.workers)
    run(partial(_engine, threads, model, device, dtype, slots, recognizer), settings)


def _engine(
    threads: int, model: str, device: str, dtype: str, slots: int, recognizer: str
) -> Engine:
    """What a server's process loads."""
    from streamtrans.translator import load_engine

    set_threads(threads)
    return load_engine(model, device, dtype, slots, max_batch=256, recognizer=recognizer)


@app.command()
@named_errors
def translate(
    model: MODEL = "en-fr",
    policy: POLICY = "wait-3",
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 1,
) -> None:
    """Translate standard input to standard output, live: a word is READ when white space follows it.

    The end of a line finishes its translation; a line in is a line out.
    """
    from streamtrans.translator import load

    set_threads(threads)
    decoder = codecs.getincrementaldecoder("utf-8")()
    with load(model, device, dtype, max_sessions=1).open(policy) as session:
        line = _Line()
        while True:
            data = os.read(sys.stdin.fileno(), 65536)
            for number, part in enumerate(decoder.decode(data, final=not data).split("\n")):
                if number:
                    line.show(session.flush())
                    line.end()
                line.show(session.feed(part))
            if not data:
                break
        line.show(session.end())
        if line.words:
            line.end()


class _Line:
    """A line of output that grows by committed words."""

    def __init__(self) -> None:
        self.words = 0

    def show(self, events: list[Event]) -> None:
        from streamtrans.messages import Error, Target

        for event in events:
            if isinstance(event, Target):
                sys.stdout.write(f" {event.text}" if self.words else event.text)
                self.words += 1
            elif isinstance(event, Error):
                raise RuntimeError(f"{event.code}: {event.text}")
        sys.stdout.flush()

    def end(self) -> None:
        sys.stdout.write("\n")
        sys.stdout.flush()
        self.words = 0


@app.command()
@named_errors
def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that is shipped.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the corpora.")] = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Folder of the run [runs/NAME].")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = False,
    device: DEVICE = "auto",
    threads: THREADS = 2,
) -> None:
    """Train a model: checkpoints and a journal go to the folder of the run."""
    import torch

    from streamtrans.training.recipe import load_recipe
    from streamtrans.training.trainer import Trainer

    set_threads(threads)
    chosen = load_recipe(recipe)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = out or Path("runs") / chosen.name
    typer.echo(f"averaged model: {Trainer(chosen, data, folder, device).run(resume)}")


@app.command()
@named_errors
def distill(
    teacher: Annotated[str, typer.Argument(help="An embedded model, or the folder of one.")],
    out: Annotated[Path, typer.Option(help="File of pairs to write; it goes on if it is there.")],
    data: Annotated[Path, typer.Option(help="Folder of the corpora.")] = Path("data"),
    recipe: Annotated[str | None, typer.Option(help="Sources: the training corpora of it.")] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Sources: this file of pairs.")] = None,
    beam: Annotated[int, typer.Option(help="Hypotheses; 1 is greedy.", min=1)] = 4,
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 2,
) -> None:
    """Translate training sources by full-sentence search: a corpus from which a student learns the teacher."""
    from rich.progress import Progress

    from streamtrans import pretrained
    from streamtrans.models import checkpoint
    from streamtrans.training.distill import distill as run
    from streamtrans.training.distill import distinct_sources
    from streamtrans.training.recipe import Corpus, load_text_recipe
    from streamtrans.translator import find_device

    if (recipe is None) == (not corpus):
        raise ValueError("give either --recipe or --corpus")
    set_threads(threads)
    corpora = load_text_recipe(recipe).train if recipe else [Corpus(path) for path in corpus or ()]
    model, vocabulary = checkpoint.load(pretrained.find(teacher), *find_device(device, dtype))
    sources = distinct_sources(data, corpora)
    with Progress() as progress:
        bar = progress.add_task(out.name, total=len(sources))
        for count in run(model, vocabulary, sources, out, beam):
            progress.update(bar, completed=count)
    typer.echo(f"{len(sources)} pairs: {out}")


@app.command()
@named_errors
def models() -> None:
    """List the embedded models: size, scores, and where the card is."""
    from streamtrans import pretrained

    for name in pretrained.names() + pretrained.recognizers():
        folder = pretrained.find(name)
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        size = (folder / "model.safetensors").stat().st_size / 1e6
        hears = "language" in config
        languages = config["language"] if hears else f"{config['source']} -> {config['target']}"
        typer.echo(f"{name}  {languages}, {config['kind']}, {size:.1f} MB")
        for row in json.loads((folder / "scores.json").read_text()):
            typer.echo(
                f"    {row['set']:<45} WER {row['wer']:5.1f}  CER {row['cer']:5.1f}"
                if hears
                else f"    {row['test']:<22} {row['policy']:<8} BLEU {row['bleu']:5.2f}"
                f"  chrF {row['chrf']:5.2f}  AL {row['al']:5.2f}"
            )
        typer.echo(f"    card: {folder / 'README.md'}")


def main() -> None:
    """The entry point."""
    app()
