"""The commands of a client: a text, a recording or a microphone through a server; and the demo, which brings its own.

It knows options; the work is elsewhere and imported when needed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from streamtrans.options import (
    HERE,
    MODEL,
    PACE,
    PAUSE,
    POLICY,
    RECOGNIZER,
    SERVED_POLICY,
    SOURCE,
    TARGET,
    TOKEN,
    URL,
    named_errors,
)


@named_errors
def text(
    file: Annotated[str, typer.Argument(help="A text file, or - for standard input.")],
    url: URL = HERE,
    policy: SERVED_POLICY = None,
    source: SOURCE = "en",
    target: TARGET = "fr",
    pace: PACE = 3.0,
    fast: Annotated[bool, typer.Option(help="As fast as the server reads.")] = False,
    token: TOKEN = None,
) -> None:
    """Send a text through a server and show the translation as it comes, each word with its lag."""
    import asyncio
    from functools import partial

    from streamtrans_clients import connect, pieces

    from streamtrans.live import show_text

    if file == "-":
        source_text = pieces.typed(sys.stdin.fileno())
    elif fast:
        source_text = pieces.at_once(Path(file).read_text(encoding="utf-8"))
    else:
        source_text = pieces.paced(Path(file).read_text(encoding="utf-8"), pace)
    opening = partial(connect, url, source, target, policy, token=token)
    asyncio.run(show_text(source_text, opening))


@named_errors
def audio(
    file: Annotated[Path, typer.Argument(help="A recording: WAV, FLAC, Ogg, MP3.")],
    url: URL = HERE,
    policy: SERVED_POLICY = None,
    source: SOURCE = "en",
    target: TARGET = "fr",
    fast: Annotated[bool, typer.Option(help="As fast as the server hears.")] = False,
    srt: Annotated[Path | None, typer.Option(help="Write subtitles here, as SubRip.")] = None,
    vtt: Annotated[Path | None, typer.Option(help="The same as WebVTT.")] = None,
    pause: PAUSE = None,
    token: TOKEN = None,
) -> None:
    """Stream a recording through a server in real time; show what it hears and the translation with its lag."""
    import asyncio
    from functools import partial

    from streamtrans_clients import connect
    from streamtrans_clients.recording import Recording

    from streamtrans.live import Captions, show_recording

    opening = partial(connect, url, source, target, policy, token=token, pause=pause)
    captions: Captions = {".srt": srt, ".vtt": vtt}
    asyncio.run(show_recording(Recording(file), opening, fast, captions))


@named_errors
def mic(
    url: URL = HERE,
    policy: SERVED_POLICY = None,
    source: SOURCE = "en",
    target: TARGET = "fr",
    device: Annotated[
        str | None, typer.Option(help="Number or name; default: the system's.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Samples a second; the server resamples.")] = 16000,
    save: Annotated[
        list[Path] | None, typer.Option(help="Subtitles, .srt or .vtt; more than once.")
    ] = None,
    pause: PAUSE = None,
    patience: Annotated[float, typer.Option(help="Seconds to try to come back.", min=0)] = 600.0,
    token: TOKEN = None,
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
        pause=pause,
        token=token,
        patience=patience,
    )
    asyncio.run(listen(opening, microphone.Microphone(device, rate), save or [], Console()))


@named_errors
def demo(
    model: MODEL = "en-fr",
    policy: POLICY = "wait-3",
    recognizer: RECOGNIZER = "auto",
    typed: Annotated[bool, typer.Option("--text", help="A typed text instead of speech.")] = False,
    pace: PACE = 3.0,
) -> None:
    """Start a server on a free port and stream recordings through it in real time, or a text at `pace`."""
    from streamtrans.demo import demonstrate

    demonstrate(policy, "none" if typed else recognizer, pace, model)
