"""A text or a recording through a server, shown as it comes, with the figures at the end.

Only the command line uses this file: it is where the client meets the evaluation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from streamtrans_clients.captions import CaptionFile, Form
from streamtrans_clients.display import Display
from streamtrans_clients.file import Timed, stream, stream_sound
from streamtrans_clients.recording import Recording
from streamtrans_clients.session import Session
from streamtrans_clients.summary import summarise

from streamtrans.evaluation.latency import Delays, corpus_latency
from streamtrans.messages import Draft, Segment, Source, Target

Opening = Callable[..., AbstractAsyncContextManager[Session]]  # takes `kind`, `rate` and `drafts`
Captions = Mapping[Form, Path | None]


async def show_text(text: AsyncIterator[str], opening: Opening) -> None:
    """Stream, show, and print the table: AL and LAAL in words.

    opening: `connect` with all its arguments but `kind`, `rate` and `drafts`. Raises what it raises, SessionFailed, and
    what `text` raises.
    """
    async with opening(drafts=Console().is_terminal) as session:
        await _show(session, stream(session, text), spoken=False)


async def show_recording(
    recording: Recording, opening: Opening, fast: bool = False, captions: Captions | None = None
) -> None:
    """The same with a recording in real time, AL and LAAL in ms of sound. captions: files to write of each form.

    fast: as fast as the server hears. Raises RecordingError as well, and OSError for a file that cannot be written.
    """
    pieces = recording.at_once() if fast else recording.in_real_time()
    drafts = Console().is_terminal
    async with opening(kind="audio", rate=recording.rate, drafts=drafts) as session:
        with ExitStack() as stack:
            files = [
                stack.enter_context(CaptionFile(path, form=form))
                for form, path in (captions or {}).items()
                if path
            ]
            items = stream_sound(session, pieces, recording.rate)
            await _show(session, items, spoken=True, files=files)


async def _show(
    session: Session,
    items: AsyncIterator[Timed | Draft | Segment],
    spoken: bool,
    files: Sequence[CaptionFile] = (),
) -> None:
    """AL and LAAL are means over segments, against the hypothesis' length."""
    words: list[Timed] = []
    segments: list[Delays] = []
    first = 0  # of the words, in the open segment
    with Display(Console(), session.ready.source, session.ready.target) as display:
        async for item in items:
            display.show(item)
            if isinstance(item, Draft):
                continue
            for file in files:
                file.show(item.event if isinstance(item, Timed) else item)
            if isinstance(item, Timed):
                words.append(item)
                continue
            segments += _delays(words[first:], spoken)
            first = len(words)
        latency = corpus_latency(segments) if segments else None
        al, laal = (latency.al, latency.laal) if latency else (None, None)
        display.finish(summarise(words, al, laal, spoken))


def _delays(segment: Sequence[Timed], spoken: bool) -> list[Delays]:
    """Of the words of a segment: none where nothing was written."""
    sources = [word.event for word in segment if isinstance(word.event, Source)]
    targets = [word.event for word in segment if isinstance(word.event, Target)]
    if not sources or not targets:
        return []
    if not spoken:
        return [Delays([t.read - sources[0].index for t in targets], len(sources))]
    begin, end = sources[0].begin, sources[-1].end
    if begin is None or end is None or end <= begin:
        return []
    return [Delays(list(accumulate((t.at - begin for t in targets), max)), end - begin)]
