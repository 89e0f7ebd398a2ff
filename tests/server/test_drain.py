"""SIGTERM lets live sessions finish, lets nobody in, and the process exits with 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness import SENTENCE, finish, get, in_loop, rest, send, started
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

SCRIPT = Path(__file__).with_name("serve_fake.py")


@asynccontextmanager
async def server_process(drain_seconds: float) -> AsyncIterator[tuple[str, Process]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(SCRIPT), str(drain_seconds)), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on ws://127.0.0.1:"), await process.stderr.read()
        yield line.split()[-1], process
        assert await process.wait() == os.EX_OK
        assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def drains(url: str) -> None:
    """Wait until the signal has arrived: `/readyz` turns to 503."""
    while (await get(url, "/readyz"))[0] != 503:
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@in_loop
async def test_a_live_session_finishes(number: signal.Signals) -> None:
    async with server_process(drain_seconds=15) as (url, process), started(url) as peer:
        await send(peer, {"type": "text", "text": SENTENCE})
        process.send_signal(number)
        await drains(url)
        assert (await get(url, "/healthz"))[0] == 200
        with pytest.raises(InvalidStatus, match="503"):
            await connect(url)
        await send(peer, {"type": "text", "text": SENTENCE})
        assert await finish(peer) == (SENTENCE * 2).upper().split()
        assert peer.close_code == 1000


@in_loop
async def test_a_session_that_goes_on_is_told_and_closed() -> None:
    async with server_process(drain_seconds=0.1) as (url, process), started(url) as peer:
        process.send_signal(signal.SIGTERM)
        assert (await rest(peer))[-1]["code"] == "draining"
        assert peer.close_code == 1001


@in_loop
async def test_a_second_signal_cuts_the_draining_short() -> None:
    async with server_process(drain_seconds=3600) as (url, process), started(url) as peer:
        process.send_signal(signal.SIGTERM)
        await drains(url)
        process.send_signal(signal.SIGTERM)
        assert (await rest(peer))[-1]["code"] == "draining"


@in_loop
async def test_an_empty_server_stops_at_once() -> None:
    async with server_process(drain_seconds=3600) as (_, process):
        process.send_signal(signal.SIGTERM)
