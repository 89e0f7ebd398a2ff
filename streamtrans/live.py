"""A text through a server, shown as it comes, with the figures at the end; and the demo, which brings its own server.

Only the command line uses this file: it is where the client meets the evaluation.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from streamtrans_clients import pieces
from streamtrans_clients.connection import connect
from streamtrans_clients.display import Display
from streamtrans_clients.file import Timed, stream
from streamtrans_clients.summary import summarise

from streamtrans.evaluation.latency import Delays, corpus_latency
from streamtrans.messages import Segment

DEMO_TEXT = Path(__file__).parent / "pretrained" / "demo.en.txt"


async def show(
    text: AsyncIterator[str],
    url: str,
    source: str,
    target: str,
    policy: str | None,
    token: str | None = None,
) -> list[Timed]:
    """Stream, show, and print the table. AL and LAAL are means over segments, against the hypothesis' length."""
    words: list[Timed] = []
    segments: list[Delays] = []
    start, first = 0, 0  # source words of closed segments, target words of closed segments
    console = Console()
    async with connect(url, source, target, policy, token=token) as session:
        with Display(console, source, target) as display:
            async for item in stream(session, text):
                display.show(item)
                if isinstance(item, Timed):
                    words.append(item)
                    continue
                segments += _delays(words, start, first, item)
                start, first = item.source_words, item.target_words
            al = laal = None
            if segments:
                latency = corpus_latency(segments)
                al, laal = latency.al, latency.laal
            display.finish(summarise(words, al, laal))
    return words


def _delays(words: Sequence[Timed], start: int, first: int, segment: Segment) -> list[Delays]:
    reads = [w.read - start for w in words if w.side == "target" and w.index >= first]
    return [Delays(reads, segment.source_words - start)] if reads else []


def demonstrate(policy: str, pace: float) -> None:
    """A server on a free port, a real text at `pace` words a second, the table; the server is ended again."""
    text = DEMO_TEXT.read_text(encoding="utf-8")
    with _server() as url:
        token = os.environ.get("STREAMTRANS_TOKEN")  # the server of the demo asks for it, too
        asyncio.run(show(pieces.paced(text, pace), url, "en", "fr", policy, token))


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "streamtrans", "serve", "--port", "0", "--max-sessions", "8"]
    command += ["--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError("the server did not start; its own words are above")
            yield line.removeprefix("listening on ").strip()
        finally:
            process.terminate()
