"""Our clients against our server: what each documents is what the other does."""

from __future__ import annotations

import asyncio

import pytest
from fake_engine import FakeEngine
from harness import SENTENCE, in_loop, served
from streamtrans_clients import Refused, SessionFailed, connect, open_sync
from streamtrans_clients.file import Timed, stream
from streamtrans_clients.pieces import at_once, paced

from streamtrans.messages import Segment, Target


@in_loop
async def test_a_paced_text() -> None:
    async with served() as server, connect(server.url, policy="wait-2") as session:
        items = [item async for item in stream(session, paced(SENTENCE * 3, 500))]
    target = [item for item in items if isinstance(item, Timed) and item.side == "target"]
    assert [word.text for word in target] == (SENTENCE * 3).upper().split()
    assert sum(isinstance(item, Segment) for item in items) == 3
    assert all(0 < word.lag_ms < 5000 for word in target)
    assert [word.event.read for word in target[:6]] == [2, 3, 4, 5, 6, 6]


@in_loop
async def test_a_text_as_fast_as_possible_through_small_bounds() -> None:
    async with served(max_backlog_words=30) as server, connect(server.url) as session:
        items = [item async for item in stream(session, at_once(SENTENCE * 300))]
    target = [item.text for item in items if isinstance(item, Timed) and item.side == "target"]
    assert target == (SENTENCE * 300).upper().split()


@in_loop
async def test_how_long_a_pause_is_goes_with_the_session() -> None:
    engine = FakeEngine()
    async with served(engine) as server:
        async with connect(server.url, kind="audio", rate=16_000, pause=900):
            assert [session.pause for session in engine.sessions] == [900]
        with pytest.raises(SessionFailed) as failed:
            async with connect(server.url, kind="audio", rate=16_000, pause=90):
                pass
        assert failed.value.code == "bad_pause" and "200 to 5000 ms" in str(failed.value)


@in_loop
async def test_without_asyncio() -> None:
    def translate(url: str) -> list[str]:
        with open_sync(url) as session:
            session.send_text(SENTENCE)
            session.end()
            return [event.text for event in session if isinstance(event, Target)]

    async with served() as server:
        assert await asyncio.to_thread(translate, server.url) == SENTENCE.upper().split()


@in_loop
async def test_refused_and_failed() -> None:
    async with served(max_sessions=1, retry_after=9) as server:
        async with connect(server.url):
            with pytest.raises(Refused) as refused:
                async with connect(server.url):
                    pass
            assert (refused.value.status, refused.value.retry_after) == (503, 9.0)
        await server.app.admission.emptied()
        with pytest.raises(SessionFailed) as failed:
            async with connect(server.url, target="de"):
                pass
        assert failed.value.code == "unsupported_language"
