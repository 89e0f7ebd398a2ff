"""Options that several commands share, and how a command says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

import typer

MODEL = Annotated[str, typer.Option(help="An embedded model, or the folder of a checkpoint.")]
RECOGNIZER = Annotated[
    str,
    typer.Option(help="auto (the embedded one of the source language), none, or a checkpoint."),
]
POLICY = Annotated[
    str,
    typer.Option(
        help="wait-3, wait-3:0.1 (with catch-up), full; if the model has learned it, monotonic or adaptive-1-5:0.7."
    ),
]
DEVICE = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
DTYPE = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
THREADS = Annotated[int, typer.Option(help="Threads of the model on the CPU.", min=1)]
URL = Annotated[str, typer.Option(help="The server.")]
SERVED_POLICY = Annotated[str | None, typer.Option(help="Default: the server's.")]
SOURCE = Annotated[str, typer.Option(help="Source language.")]
TARGET = Annotated[str, typer.Option(help="Target language.")]
PACE = Annotated[float, typer.Option(help="Words a second.", min=0.01)]
PAUSE = Annotated[
    int | None,
    typer.Option(help="ms of silence that end a segment, 200 to 5000; default: the server's 600."),
]
TOKEN = Annotated[
    str | None, typer.Option(envvar="STREAMTRANS_TOKEN", help="API token of the server.")
]

HERE = "ws://127.0.0.1:8765/v1/translate"

P = ParamSpec("P")
R = TypeVar("R")


def named_errors(command: Callable[P, R]) -> Callable[P, R]:
    """What a user can do something about is one line and exit code 2, not a traceback."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, RuntimeError) as error:
            typer.echo(f"streamtrans: {error}", err=True)
            raise typer.Exit(2) from error

    return wrapped


def set_threads(count: int) -> None:
    """Threads of torch, which is imported only here."""
    import torch

    torch.set_num_threads(count)
