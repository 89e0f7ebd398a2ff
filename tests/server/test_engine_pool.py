"""Engines in processes of their own: what clients see is what they see of one engine; nothing is lost on the way."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import fakes
import pytest
from fake_engine import BOOM, CRASH, FakeEngine
from harness import (
    SENTENCE,
    START,
    finish,
    get,
    in_loop,
    of_type,
    rest,
    send,
    served,
    started,
    until,
)
from streamtrans_server import App, ServerConfig, WarmUpFailed, hosted
from streamtrans_server.engine_process import portable
from streamtrans_server.engine_worker import WorkerLost
from streamtrans_server.metrics import Metrics
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from streamtrans.messages import Audio, End, Target

SCRIPT = Path(__file__).with_name("serve_fake.py")


two = partial(served, workers=2)


def processes() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name == "engine"]


async def said(peer: ClientConnection, text: str) -> list[str]:
    await send(peer, {"type": "text", "text": text})
    return await finish(peer)


@in_loop
async def test_sessions_are_shared_and_say_what_they_say_elsewhere() -> None:
    async with two() as server:
        assert len(processes()) == 2
        peers = [await connect(server.url, compression=None) for _ in range(6)]
        for peer in peers:
            await send(peer, START)
        words = await asyncio.gather(
            *(ready_and_said(peer, f"{i} {SENTENCE}") for i, peer in enumerate(peers))
        )
        assert words == [f"{i} {SENTENCE}".upper().split() for i in range(6)]
        homes = {worker.sessions for worker in server.app._host._workers}  # type: ignore[attr-defined]
        assert homes == {0}, "sessions that are over count for no worker"
        _, _, page = await get(server.url, "/metrics")
        assert f"streamtrans_committed_words_total {7.0 * 6}" in page
        assert "streamtrans_first_word_delay_seconds_count 6.0" in page
        while "streamtrans_queue 0.0" not in page:
            await asyncio.sleep(0.05)
            _, _, page = await get(server.url, "/metrics")
    await asyncio.to_thread(lambda: [child.join(5) for child in processes()])
    assert not processes()


async def ready_and_said(peer: ClientConnection, text: str) -> list[str]:
    assert '"ready"' in str(await peer.recv())
    return await said(peer, text)


@in_loop
async def test_a_new_session_goes_where_there_are_fewest() -> None:
    async with two(max_sessions=3) as server:
        workers = server.app._host._workers  # type: ignore[attr-defined]
        async with started(server.url) as one:
            async with started(server.url):
                assert [worker.sessions for worker in workers] == [1, 1]
            await until(lambda: [worker.sessions for worker in workers] == [1, 0])
            async with started(server.url), started(server.url):
                assert sorted(worker.sessions for worker in workers) == [1, 2]
                with pytest.raises(InvalidStatus, match="503"):
                    await connect(server.url)
            assert await said(one, SENTENCE) == SENTENCE.upper().split()


@in_loop
async def test_a_flood_is_held_back_and_loses_nothing() -> None:
    """The server hears how far a session is, so it stops reading, and reads again."""
    async with two(max_backlog_words=20) as server, started(server.url) as peer:
        (session,) = server.app.sessions.values()
        blocked = asyncio.ensure_future(until(lambda: session._channel.blocked))
        text = SENTENCE * 40
        for part in text.split("."):
            await send(peer, {"type": "text", "text": part + "." if part.strip() else " "})
        await blocked
        assert await finish(peer) == text.upper().split()
        assert session.backlog == 0


@in_loop
async def test_silence_that_comes_too_fast_is_held_back_and_heard() -> None:
    """There are no events, so how far the session is comes by itself."""
    async with (
        two(max_backlog_seconds=4.0) as server,
        connect(server.url, compression=None) as peer,
    ):
        await send(peer, {**START, "kind": "audio", "rate": 16_000})
        assert json.loads(await peer.recv())["type"] == "ready"
        for _ in range(120):
            await peer.send(bytes(32_000))
        assert await finish(peer) == []
        (session,) = server.app.sessions.values() or (None,)
        assert session is None or session.unheard_ms == 0
        _, _, page = await get(server.url, "/metrics")
        assert "streamtrans_audio_seconds_total 120.0" in page


@in_loop
async def test_a_failing_batch_hurts_its_session_only() -> None:
    """Not even one of the same worker."""
    async with two() as server, started(server.url) as bad, started(server.url) as other:
        async with started(server.url) as good:
            workers = server.app._host._workers  # type: ignore[attr-defined]
            assert [worker.sessions for worker in workers] == [2, 1]
            await send(bad, {"type": "text", "text": f"one {BOOM} two "})
            assert (await rest(bad))[-1]["code"] == "internal"
            assert await said(good, SENTENCE) == SENTENCE.upper().split()
            assert await said(other, SENTENCE) == SENTENCE.upper().split()
        assert (await get(server.url, "/readyz"))[0] == 200


@pytest.mark.parametrize("how", ["fails", "is killed"])
@in_loop
async def test_when_one_worker_fails_the_sessions_of_the_other_go_on(how: str) -> None:
    async with two() as server, started(server.url) as bad, started(server.url) as good:
        first, _ = server.app._host._workers  # type: ignore[attr-defined]
        if how == "fails":
            await send(bad, {"type": "text", "text": f"{CRASH} "})
        else:
            os.kill(first._process.pid, signal.SIGKILL)
        assert of_type(await rest(bad), "error")[0]["code"] == "internal"
        assert (await get(server.url, "/readyz"))[0] == 503
        with pytest.raises(InvalidStatus, match="503"):
            await connect(server.url)
        assert await said(good, SENTENCE) == SENTENCE.upper().split()


@pytest.mark.parametrize("end", ["raises", "exits"])
@in_loop
async def test_a_worker_that_does_not_warm_up_ends_the_start(end: str) -> None:
    config, metrics = ServerConfig(port=0, workers=2), Metrics()
    host = await asyncio.to_thread(hosted, partial(cold, end), config, metrics)
    with pytest.raises((WarmUpFailed, WorkerLost, RuntimeError), match="cold|exit 4"):
        async with App(host, config, metrics).serving():
            pass
    assert not processes()


def cold(end: str) -> FakeEngine:
    engine = FakeEngine()

    def fail(*_: object, **__: object) -> NoReturn:
        if end == "exits":
            os._exit(4)
        raise RuntimeError("cold")

    engine.open = fail  # type: ignore[method-assign]
    return engine


def test_a_server_that_cannot_listen_ends_with_its_workers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, str(SCRIPT), "0", str(taken.getsockname()[1]), "workers"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "OSError" in ended.stderr


@in_loop
async def test_a_client_comes_back_to_the_worker_that_has_its_session() -> None:
    async with two() as server, started(server.url):
        peer = await connect(server.url, compression=None)
        await send(peer, {**START, "keep": True})
        token = json.loads(await peer.recv())["token"]
        await send(peer, {"type": "text", "text": SENTENCE})
        first = [json.loads(await peer.recv()) for _ in range(3)]
        peer.transport.abort()
        again = await connect(f"{server.url}?resume={token}&after=3", compression=None)
        assert json.loads(await again.recv())["received"] == 1
        await send(again, {"type": "end"})
        events = first + await rest(again)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert [e["text"] for e in of_type(events, "target")] == SENTENCE.upper().split()


class NoSuchModel(ValueError):
    """What a loader may raise."""


def broken(kind: str) -> FakeEngine:
    if kind == "raises":
        raise NoSuchModel("no model 'en-xx'")
    os._exit(3)


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("raises", NoSuchModel, "no model 'en-xx'"),
        ("exits", WorkerLost, "exit 3"),
    ],
)
def test_an_engine_that_cannot_be_loaded_is_named(
    kind: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        hosted(partial(broken, kind), ServerConfig(workers=2), Metrics())
    assert not processes()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_server(end: signal.Signals) -> None:
    """A terminal's ^C goes to all of them, and the server alone knows when it has drained."""
    command = [sys.executable, str(SCRIPT), "0", "0", "workers"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        assert server.stdout is not None and "listening" in server.stdout.readline()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        workers = [c for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]
        assert len(workers) == 2
        if end is signal.SIGINT:
            os.killpg(server.pid, end)
            assert server.wait(10) == 0
        else:
            server.send_signal(end)
    deadline = time.monotonic() + 10
    while any(map(lives, workers)):
        assert time.monotonic() < deadline, "a worker outlived its server"
        time.sleep(0.02)


def lives(number: str) -> bool:
    """A process that nobody waits for stays as a zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@in_loop
async def test_speech_in_workers_is_what_it_is_alone() -> None:
    sound = fakes.pcm(fakes.noise(1.5))
    engine = fakes.hearing_engine()
    alone = fakes.speak(engine, engine.open(rate=16_000), Audio(sound), End())
    config, metrics = ServerConfig(port=0, workers=2), Metrics()
    host = await asyncio.to_thread(hosted, fakes.hearing_engine, config, metrics)
    app = App(host, config, metrics)
    async with app.serving() as url:
        for _ in range(2):
            async with connect(url, compression=None) as peer:
                await send(peer, {**START, "kind": "audio", "rate": 16_000})
                await peer.recv()
                for i in range(0, len(sound), 3200):
                    await peer.send(sound[i : i + 3200])
                words = await finish(peer)
            assert words == [e.text for e in alone if isinstance(e, Target)]
        _, _, page = await get(url, "/metrics")
        assert "streamtrans_audio_seconds_total 3.0" in page


class Unportable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_exception_that_cannot_travel_goes_as_its_text() -> None:
    assert type(portable(NoSuchModel("no"))) is NoSuchModel
    assert str(portable(Unportable(1, 2))) == "Unportable: 1 and 2"
