"""What fails inside stays with those it concerns; nothing that is fed is lost on the way."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from fake_engine import BOOM, CRASH, FakeEngine, FakeSession, GatedEngine
from harness import SENTENCE, finish, get, in_loop, of_type, rest, send, served, started, until
from streamtrans_server import WarmUpFailed
from streamtrans_server.live_session import LiveSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from streamtrans.messages import Command, Text


@in_loop
async def test_a_failing_batch_hurts_its_sessions_only() -> None:
    async with served() as server, started(server.url) as good, started(server.url) as bad:
        await send(good, {"type": "text", "text": SENTENCE})
        await send(bad, {"type": "text", "text": f"one {BOOM} two "})
        answers = await rest(bad)
        assert answers[-1]["code"] == "internal"
        assert bad.close_code == 1011
        await send(good, {"type": "text", "text": SENTENCE})
        assert await finish(good) == (SENTENCE * 2).upper().split()


@in_loop
async def test_a_failed_engine_ends_all_sessions_by_name_and_is_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as server, started(server.url) as one, started(server.url) as two:
        await send(one, {"type": "text", "text": f"{CRASH} secret "})
        for peer in (one, two):
            assert of_type(await rest(peer), "error")[0]["code"] == "internal"
        assert (await get(server.url, "/healthz"))[0] == 200
        assert (await get(server.url, "/readyz"))[0] == 503
        with pytest.raises(InvalidStatus, match="503"):
            await connect(server.url)
    assert "engine_failed error=RuntimeError" in caplog.text
    assert "secret" not in caplog.text


class ClumsyEngine(FakeEngine):
    def feed(self, session: FakeSession, command: Command) -> None:
        if isinstance(command, Text) and "clumsy" in command.text:
            raise ZeroDivisionError(command.text)
        super().feed(session, command)


@in_loop
async def test_a_bug_in_feed_ends_that_session_only(caplog: pytest.LogCaptureFixture) -> None:
    async with served(ClumsyEngine()) as server, started(server.url) as good:
        async with started(server.url) as bad:
            await send(bad, {"type": "text", "text": "clumsy "})
            assert (await rest(bad))[-1]["code"] == "internal"
        await send(good, {"type": "text", "text": SENTENCE})
        assert await finish(good) == SENTENCE.upper().split()
        assert server.engine.sessions == []
    assert "feed_failed error=ZeroDivisionError" in caplog.text
    assert "clumsy " not in caplog.text.replace('"clumsy" in', "")


class BrokenEngine(FakeEngine):
    def step(self, session: FakeSession) -> list[Any]:
        raise RuntimeError("cannot translate")


class SilentEngine(FakeEngine):
    @property
    def ready(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("engine", "error"), [(BrokenEngine, RuntimeError), (SilentEngine, WarmUpFailed)]
)
@in_loop
async def test_a_server_that_cannot_warm_up_does_not_start(
    engine: type[FakeEngine], error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with served(engine()):
            pass


@in_loop
async def test_one_call_into_the_loop_for_all_sessions_of_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call for each event would wake the loop 80 times; here 20 sessions share every call."""
    engine = GatedEngine()
    async with served(engine) as server, contextlib.AsyncExitStack() as stack:
        calls: list[int] = []
        plain = server.app._host._call

        def counting(function: Any, out: dict[Any, Any]) -> None:
            calls.append(len(out))
            plain(function, out)

        peers = [await stack.enter_async_context(started(server.url)) for _ in range(20)]
        monkeypatch.setattr(server.app._host, "_call", counting)
        engine.gate = False
        for peer in peers:
            await send(peer, {"type": "text", "text": "one two three "})
        await until(lambda: all(session.backlog == 3 for session in engine.sessions))
        engine.gate = True
        for peer in peers:
            await until_committed(peer, "ONE")
        assert set(calls) == {20}
        assert len(calls) <= 4  # three READs and a WRITE, most often in a single call


async def until_committed(peer: ClientConnection, word: str) -> None:
    async for message in peer:
        if json.loads(message).get("text") == word:
            return


@in_loop
async def test_a_bug_in_taking_a_message_ends_that_session_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def clumsy(self: LiveSession, message: Any) -> None:
        raise ZeroDivisionError(message.text)

    async with served() as server, started(server.url) as good, started(server.url) as bad:
        with monkeypatch.context() as patch:
            patch.setattr(LiveSession, "take", clumsy)
            await send(bad, {"type": "text", "text": "secret "})
            answers = await rest(bad)
        assert answers[-1]["code"] == "internal" and "secret" not in answers[-1]["text"]
        assert bad.close_code == 1011
        await send(good, {"type": "text", "text": SENTENCE})
        assert await finish(good) == SENTENCE.upper().split()
    assert "receive_failed error=ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text
