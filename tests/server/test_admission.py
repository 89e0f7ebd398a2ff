"""Overload is refused in the handshake, before anything is accepted."""

from __future__ import annotations

import http.client
import logging

import pytest
from fake_engine import FakeEngine
from harness import SENTENCE, START, finish, get, in_loop, rest, send, served, started
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


@in_loop
async def test_one_too_many_gets_503_and_a_freed_slot_is_given_again() -> None:
    async with served(max_sessions=2, retry_after=7) as server:
        async with started(server.url) as first, started(server.url):
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.url)
            response = refused.value.response
            assert response.status_code == http.client.SERVICE_UNAVAILABLE
            assert response.headers["Retry-After"] == "7"
            await send(first, {"type": "text", "text": SENTENCE})
            assert await finish(first) == SENTENCE.upper().split()
        await server.app.admission.emptied()
        async with started(server.url), started(server.url):
            assert server.app.admission.taken == 2


@in_loop
async def test_a_client_that_says_nothing_holds_a_slot() -> None:
    async with served(max_sessions=1, start_timeout=0.1) as server, connect(server.url) as silent:
        assert (await get(server.url, "/readyz"))[0] == 200
        with pytest.raises(InvalidStatus):
            await connect(server.url)
        await rest(silent)


@in_loop
async def test_a_broken_handshake_gives_its_slot_back(caplog: pytest.LogCaptureFixture) -> None:
    """A request for the path that is not an upgrade passes admission and fails after it."""
    caplog.set_level(logging.WARNING)
    async with served(max_sessions=1) as server:
        for _ in range(3):
            status, *_ = await get(server.url, "/v1/translate")
            assert status == http.client.UPGRADE_REQUIRED
        await server.app.admission.emptied()
    assert caplog.text == ""


@in_loop
async def test_plain_paths() -> None:
    async with served() as server:
        assert (await get(server.url, "/healthz"))[::2] == (200, "alive\n")
        assert (await get(server.url, "/readyz?now"))[::2] == (200, "ready\n")
        assert (await get(server.url, "/v2/translate"))[0] == 404


@in_loop
async def test_draining_is_not_ready_and_admits_nobody() -> None:
    async with served() as server:
        await server.app.drain(1.0)
        assert (await get(server.url, "/healthz"))[0] == 200
        status, headers, body = await get(server.url, "/readyz")
        assert (status, headers["retry-after"], body) == (503, "1", "draining\n")
        with pytest.raises(InvalidStatus, match="503"):
            await connect(server.url)


@in_loop
async def test_an_engine_with_fewer_slots_sets_the_limit() -> None:
    async with served(FakeEngine(max_sessions=1), max_sessions=5) as server:
        async with started(server.url) as peer:
            with pytest.raises(InvalidStatus, match="503"):
                await connect(server.url)
            assert await finish(peer) == []


@in_loop
async def test_an_engine_that_is_full_all_the_same_says_overloaded() -> None:
    async with served(FakeEngine(max_sessions=2)) as server, connect(server.url) as peer:
        server.engine.max_sessions = 0
        await send(peer, START)
        assert (await rest(peer))[-1]["code"] == "overloaded"
        assert peer.close_code == 1013
