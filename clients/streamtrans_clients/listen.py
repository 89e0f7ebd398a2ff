"""The microphone, a session, captions on the terminal and in files: `streamtrans mic`.

This file knows who tells whom what. The devices, the wire and the formats are elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

from rich.console import Console

from streamtrans_clients.captions import CaptionFile
from streamtrans_clients.errors import SessionFailed
from streamtrans_clients.live_captions import LiveCaptions
from streamtrans_clients.microphone import Microphone, level
from streamtrans_clients.session import Line, Session
from streamtrans_clients.spool import Spool

Opening = Callable[..., AbstractAsyncContextManager[Session]]  # takes `on_line` and `drafts`


async def listen(
    opening: Opening, microphone: Microphone, files: Sequence[Path], console: Console
) -> None:
    """Until SIGINT or SIGTERM, and then until all that was said is translated.

    opening: `connect` with all its arguments but `on_line` and `drafts`. Raises SessionFailed, Refused,
    MicrophoneError, and ValueError or OSError for a file that cannot be written.
    """
    with ExitStack() as stack:
        captions = [stack.enter_context(CaptionFile(file)) for file in files]
        display = stack.enter_context(LiveCaptions(console))
        told = {"on_line": lambda line: display.state(_told(line)), "drafts": console.is_terminal}
        async with opening(**told) as session:
            microphone.open()
            display.state(f"listening: {session.ready.model} at {microphone.rate} Hz")
            _stop_at_signals(microphone)
            spool = Spool(microphone.rate)
            recording = asyncio.create_task(_record(microphone, spool, display))
            tasks = [recording, asyncio.create_task(_send(spool, session))]
            try:
                async for event in session:
                    display.show(event)
                    for file in captions:
                        file.show(event)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            if not recording.cancelled():
                recording.result()  # raises what ended it


async def _record(microphone: Microphone, spool: Spool, display: LiveCaptions) -> None:
    """Sound goes on coming while the connection is lost; the spool ends however the recording does."""
    try:
        await _fill(spool, microphone, display)
        display.state("finishing")
    finally:
        spool.end()


async def _fill(spool: Spool, microphone: Microphone, display: LiveCaptions) -> None:
    """To the end of the recording."""
    gone, given_up = False, 0.0
    async for frame in microphone.frames():
        if frame is None:
            display.state("the microphone is gone; it is opened again when it is back")
            gone = True
            continue
        if gone:
            display.state("the microphone is back")
            gone = False
        display.level(level(frame))
        spool.put(frame)
        if int(spool.given_up) > int(given_up):
            display.state(f"{spool.given_up:.0f} s of what you said waited too long and are lost")
            given_up = spool.given_up


async def _send(spool: Spool, session: Session) -> None:
    with contextlib.suppress(SessionFailed):  # the reader of the events hears of it
        async for frame in spool:
            await session.send_audio(frame)
        await session.end()


def _told(line: Line) -> str:
    return "listening" if line.open else f"connection lost ({line.text}); what you say is kept"


def _stop_at_signals(microphone: Microphone) -> None:
    """The first signal ends the recording; a second one ends the program."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        microphone.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
