"""The `streamtrans` command. It knows options and what to print; the work is elsewhere and imported when needed."""

from __future__ import annotations

import codecs
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamtrans import cli_bench
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
    from streamtrans.messages import Event

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(cli_bench.app, name="bench")
app.command()(evaluate)


@app.command()
@named_errors
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one [8765].")] = None,
    model: MODEL = "en-fr",
    recognizer: RECOGNIZER = "auto",
    config: Annotated[Path | None, typer.Option(help="TOML file of server options.")] = None,
    max_sessions: Annotated[int | None, typer.Option(help="Sessions at once [1024].")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error [info].")
    ] = None,
    device: DEVICE = "auto",
    dtype: DTYPE = "auto",
    threads: THREADS = 1,
) -> None:
    """Serve a model over websocket until SIGTERM."""
    from streamtrans_server import ServerConfig, run

    from streamtrans.translator import load_engine

    settings = ServerConfig.from_toml(
        config, host=host, port=port, max_sessions=max_sessions, log_level=log_level
    )
    set_threads(threads)
    engine = load_engine(
        model, device, dtype, settings.max_sessions, max_batch=256, recognizer=recognizer
    )
    run(engine, settings)


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
def text(
    file: Annotated[str, typer.Argument(help="A text file, or - for standard input.")],
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8765/v1/translate",
    policy: Annotated[str | None, typer.Option(help="Default: the server's.")] = None,
    source: Annotated[str, typer.Option(help="Source language.")] = "en",
    target: Annotated[str, typer.Option(help="Target language.")] = "fr",
    pace: Annotated[float, typer.Option(help="Words a second.", min=0.01)] = 3.0,
    fast: Annotated[bool, typer.Option(help="As fast as the server reads.")] = False,
    token: Annotated[
        str | None, typer.Option(envvar="STREAMTRANS_TOKEN", help="API token of the server.")
    ] = None,
) -> None:
    """Send a text through a server and show the translation as it comes, each word with its lag."""
    import asyncio

    from streamtrans_clients import pieces

    from streamtrans.live import show

    if file == "-":
        source_text = pieces.typed(sys.stdin.fileno())
    elif fast:
        source_text = pieces.at_once(Path(file).read_text(encoding="utf-8"))
    else:
        source_text = pieces.paced(Path(file).read_text(encoding="utf-8"), pace)
    asyncio.run(show(source_text, url, source, target, policy, token))


@app.command()
@named_errors
def mic(
    url: Annotated[str, typer.Option(help="The server.")] = "ws://127.0.0.1:8765/v1/translate",
    policy: Annotated[str | None, typer.Option(help="Default: the server's.")] = None,
    source: Annotated[str, typer.Option(help="Source language.")] = "en",
    target: Annotated[str, typer.Option(help="Target language.")] = "fr",
    device: Annotated[
        str | None, typer.Option(help="Number or name; default: the system's.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Samples a second; the server resamples.")] = 16000,
    save: Annotated[
        list[Path] | None, typer.Option(help="Subtitles, .srt or .vtt; more than once.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds to try to come back.", min=0)] = 600.0,
    token: Annotated[
        str | None, typer.Option(envvar="STREAMTRANS_TOKEN", help="API token.")
    ] = None,
    show_devices: Annotated[bool, typer.Option("--list", help="List the devices.")] = False,
) -> None:
    """Translate what a microphone hears, live; Ctrl-C ends it after the last word."""
    import asyncio
    from functools import partial

    from rich.console import Console
    from streamtrans_clients import connect, microphone
    from streamtrans_clients.listen import listen

    if show_devices:
        typer.echo("\n".join(microphone.names()) or "no device can record")
        return
    opening = partial(
        connect,
        url,
        source,
        target,
        policy,
        kind="audio",
        rate=rate,
        token=token,
        patience=patience,
    )
    asyncio.run(listen(opening, microphone.Microphone(device, rate), save or [], Console()))


@app.command()
@named_errors
def demo(
    policy: POLICY = "wait-3",
    pace: Annotated[float, typer.Option(help="Words a second.", min=0.01)] = 3.0,
) -> None:
    """Start a server on a free port and stream a real text through it at speaking pace."""
    from streamtrans.live import demonstrate

    demonstrate(policy, pace)


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

    for name in pretrained.names():
        folder = pretrained.find(name)
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        size = (folder / "model.safetensors").stat().st_size / 1e6
        typer.echo(
            f"{name}  {config['source']} -> {config['target']}, {config['kind']}, {size:.1f} MB"
        )
        for row in json.loads((folder / "scores.json").read_text()):
            typer.echo(
                f"    {row['test']:<22} {row['policy']:<8} BLEU {row['bleu']:5.2f}"
                f"  chrF {row['chrf']:5.2f}  AL {row['al']:5.2f}"
            )
        typer.echo(f"    card: {folder / 'README.md'}")


def main() -> None:
    """The entry point."""
    app()
