"""Where source text comes from: a text at a pace, a text at once, or what is typed.

This file knows schedules and file descriptors. It does not know sessions.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from streamtrans_clients.source_words import WORD

_WORDS = re.compile(rf"(?:{WORD.pattern})\s*|\s+")
PIECE = 1000  # characters, well below every server's limit
READ_SIZE = 4096  # bytes


async def paced(
    text: str,
    words_per_second: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[str]:
    """One word at a time with the white space after it.

    Word i is due at start + i / words_per_second whatever came before, so a late word does not
    make the later ones late.
    """
    if words_per_second <= 0:
        raise ValueError(f"pace {words_per_second}: must be positive")
    start = clock()
    word = 0
    for piece in _WORDS.findall(text):
        if not piece.isspace():
            wait = start + word / words_per_second - clock()
            if wait > 0:
                await sleep(wait)
            word += 1
        for cut in _cut(piece):
            yield cut


async def at_once(text: str) -> AsyncIterator[str]:
    """The text in pieces, as fast as they are taken."""
    for piece in _cut(text):
        yield piece


async def typed(descriptor: int) -> AsyncIterator[str]:
    """Text from a terminal, a pipe or a file as it comes, to its end.

    Raises UnicodeDecodeError when it is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        await _readable(descriptor)
        data = os.read(descriptor, READ_SIZE)
        for piece in _cut(decoder.decode(data, final=not data)):
            yield piece
        if not data:
            return


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    try:
        loop.add_reader(descriptor, _tell, readable)
    except PermissionError:  # a plain file is always readable and cannot be watched
        return
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)


def _tell(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _cut(text: str) -> list[str]:
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
