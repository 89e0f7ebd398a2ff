"""The microphone, a session, captions on the terminal and in files: `streamtrans mic`.

This file knows who tells whom what. The devices, the wire and the formats are elsewhere.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from streamtrans_clients.audio_session import AudioSession, Line
from streamtrans_clients.captions import CaptionFile
from streamtrans_clients.live_captions import LiveCaptions
from streamtrans_clients.microphone import Microphone, level


async def listen(
    session: AudioSession, microphone: Microphone, files: Sequence[Path], console: Console
) -> None:
    """Until SIGINT or SIGTERM, and then until all that was said is translated.

    Raises SessionFailed, Refused, MicrophoneError, and ValueError or OSError for a file that cannot be written.
    """
    with ExitStack() as stack:
        captions = [stack.enter_context(CaptionFile(file)) for file in files]
        display = stack.enter_context(LiveCaptions(console))
        hearing: asyncio.Task[None] | None = None
        events = session.events()
        try:
            async for event in events:
                if not isinstance(event, Line):
                    display.show(event)
                    for file in captions:
                        file.show(event)
                    continue
                display.state(_told(event))
                if hearing is None:
                    microphone.open()
                    _stop_at_signals(microphone)
                    hearing = asyncio.create_task(_hear(microphone, session, display))
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
            await events.aclose()


async def _hear(microphone: Microphone, session: AudioSession, display: LiveCaptions) -> None:
    gone = False
    async for frame in microphone.frames():
        if frame is None:
            display.state("the microphone is gone; it is opened again when it is back")
            gone = True
            continue
        if gone:
            display.state("the microphone is back")
            gone = False
        display.level(level(frame))
        session.hear(frame)
    display.state("finishing")
    session.end()


def _told(line: Line) -> str:
    return (
        f"listening: {line.text}"
        if line.open
        else f"connection lost ({line.text}); what you say is kept"
    )


def _stop_at_signals(microphone: Microphone) -> None:
    """The first signal ends the recording; a second one ends the program."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        microphone.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
