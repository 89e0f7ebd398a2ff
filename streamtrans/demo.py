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


def demonstrate(policy: str, recognizer: str, pace: float) -> None:
    """The recordings if there is a recogniser, else the text at `pace` words a second; the server is ended again.

    recognizer: as for `pretrained.find_recognizer`. Raises UnknownModel, ServerError, and what a session raises.
    """
    console = Console()
    hears = pretrained.find_recognizer(recognizer, "en") is not None
    if recognizer == "auto" and not hears:
        console.print(
            "No recogniser of English is embedded yet: here is typed text. "
            "With one of your own: streamtrans demo --recognizer FOLDER\n"
        )
    with fresh(*OPTIONS, "--recognizer", recognizer if hears else "none") as server:
        token = os.environ.get("STREAMTRANS_TOKEN")  # the server of the demo asks for it, too
        opening = partial(connect, server.url, "en", "fr", policy, token=token)
        if hears:
            _show_recordings(opening, console)
        else:
            text = pieces.paced(TEXT.read_text(encoding="utf-8"), pace)
            asyncio.run(show_text(text, opening))


def _show_recordings(opening: Opening, console: Console) -> None:
    """Each between what it is and what is said in it."""
    with (RECORDINGS / "manifest.tsv").open(encoding="utf-8", newline="") as manifest:
        for row in csv.DictReader(manifest, delimiter="\t"):
            console.rule(row["title"])
            asyncio.run(show_recording(Recording(RECORDINGS / row["path"]), opening))
            console.print(f"\nwhat was said: {row['text']}\n", soft_wrap=True)
