"""What `make demo` shows: a server of its own, and through it recordings in real time, or a text at speaking pace.

It knows what is shipped to be shown. How it is streamed and shown is in `live.py`.
"""

from __future__ import annotations

import asyncio
import csv
import os
from functools import partial
from pathlib import Path

from rich.console import Console
from streamtrans_clients import connect, pieces
from streamtrans_clients.recording import Recording

from streamtrans import pretrained
from streamtrans.evaluation.server_process import fresh
from streamtrans.live import Opening, show_recording, show_text

SHIPPED = Path(__file__).parent / "pretrained"
TEXT = SHIPPED / "demo.en.txt"
RECORDINGS = SHIPPED / "recordings"  # manifest.tsv names them
OPTIONS = ("--max-sessions", "8", "--log-level", "warning")


def demonstrate(policy: str, recognizer: str, pace: float, model: str = "en-fr") -> None:
    """The recordings in the model's language if there is a recogniser, else the English text at `pace` words a second;
    the server is ended again.

    recognizer: as for `pretrained.find_recognizer`. Raises UnknownModel, ServerError, and what a session raises.
    """
    console = Console()
    source, target = pretrained.languages(model)
    if recognizer == "none" and pretrained.direct(model):
        raise pretrained.UnknownModel(f"{model} translates speech: nothing can be typed to it")
    shown = recordings(source)
    hears = pretrained.find_recognizer(recognizer, source, pretrained.find(model)) is not None
    if not (shown and hears) and source != "en":
        raise pretrained.UnknownModel(f"the demo has nothing to say to {model} in {source!r}")
    if recognizer == "auto" and not hears:
        console.print(
            "No recogniser of English is embedded yet: here is typed text. "
            "With one of your own: streamtrans demo --recognizer FOLDER\n"
        )
    ears = recognizer if hears else "none"
    with fresh(*OPTIONS, "--model", model, "--recognizer", ears) as server:
        token = os.environ.get("STREAMTRANS_TOKEN")  # the server of the demo asks for it, too
        opening = partial(connect, server.url, source, target, policy, token=token)
        if hears:
            _show(shown, opening, console)
        else:
            text = pieces.paced(TEXT.read_text(encoding="utf-8"), pace)
            asyncio.run(show_text(text, opening))


def recordings(language: str) -> list[dict[str, str]]:
    """What is shipped to be heard in a language: path, title, text."""
    with (RECORDINGS / "manifest.tsv").open(encoding="utf-8", newline="") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t"))
    return [row for row in rows if row["language"] == language]


def _show(rows: list[dict[str, str]], opening: Opening, console: Console) -> None:
    """Each between what it is and what is said in it."""
    for row in rows:
        console.rule(row["title"])
        asyncio.run(show_recording(Recording(RECORDINGS / row["path"]), opening))
        console.print(f"\nwhat was said: {row['text']}\n", soft_wrap=True)
