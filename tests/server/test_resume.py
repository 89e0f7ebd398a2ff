"""A client that lost its connection comes back and has every event once; one that stays away is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_engine import FakeEngine, GatedEngine
from harness import (
    SENTENCE,
    START,
    complete,
    finish,
    in_loop,
    rest,
    send,
    served,
    started,
    until,
)
from streamtrans_server import lag_watch
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

KEEP = {**START, "keep": True, "policy": "wait-1"}


@asynccontextmanager
async def kept(url: str, **fields: Any) -> AsyncIterator[tuple[ClientConnection, str]]:
    async with connect(url, compression=None) as peer:
        await send(peer, {**KEEP, **fields})
        yield peer, json.loads(await peer.recv())["token"]


def back(url: str, token: str, after: int) -> Any:
    return connect(f"{url}?resume={token}&after={after}", compression=None)


async def take(peer: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await peer.recv()) for _ in range(count)]


@in_loop
async def test_what_was_missed_comes_and_what_was_not_taken_is_sent_again() -> None:
    async with served() as server:
        async with kept(server.url) as (peer, token):
            await send(peer, {"type": "text", "text": "one two "}, {"type": "mark", "id": "m"})
            seen = await take(peer, 2)
            (session,) = server.engine.sessions
            await until(lambda: session.seq == 5)
            peer.transport.abort()
        await until(lambda: next(iter(server.app.sessions.values())).detached)
        assert server.app.admission.taken == 1
        async with back(server.url, token, 2) as peer:
            ready = json.loads(await peer.recv())
            assert (ready["type"], ready["received"], ready["token"]) == ("ready", 2, token)
            await send(peer, {"type": "text", "text": "three"}, {"type": "end"})
            answers = seen + await rest(peer)
        assert complete(answers) == ["ONE", "TWO", "THREE"]
        await server.app.admission.emptied()
        await until(lambda: server.engine.sessions == [])
        assert server.app.sessions == {}


@in_loop
async def test_words_that_were_missed_tell_when_they_are_sent() -> None:
    async with served() as server:
        async with kept(server.url) as (peer, token):
            await send(peer, {"type": "text", "text": "one two "})
            await take(peer, 4)
            peer.transport.abort()
        await until(lambda: next(iter(server.app.sessions.values())).detached)
        async with back(server.url, token, 0) as peer:
            await send(peer, {"type": "ack", "seq": 2})  # at once: it meets a session
            events = await take(peer, 5)
            await send(peer, {"type": "end"})
            await rest(peer)
    emitted = [event["emitted"] for event in events if event["type"] == "target"]
    assert len(emitted) == 2 and all(clock > 0 for clock in emitted)


@in_loop
async def test_the_end_that_was_missed_is_told_too() -> None:
    async with served() as server:
        async with kept(server.url) as (peer, token):
            peer.transport.pause_reading()  # type: ignore[attr-defined]
            await send(peer, {"type": "text", "text": "one two "}, {"type": "end"})
            (session,) = server.engine.sessions
            await until(lambda: session.closed)
            peer.transport.abort()
        async with back(server.url, token, 0) as peer:
            answers = await rest(peer)
            assert (answers[0]["type"], answers[0]["received"]) == ("ready", 2)
            assert complete(answers[1:]) == ["ONE", "TWO"]
            assert peer.close_code == 1000
        await server.app.admission.emptied()


@in_loop
async def test_again_and_again() -> None:
    words = [f"w{number}" for number in range(60)]
    async with served() as server:
        async with kept(server.url) as (peer, token):
            peer.transport.abort()
        answers: list[dict[str, Any]] = []
        sent = 0
        while not answers or answers[-1]["type"] != "done":
            async with back(server.url, token, len(answers)) as peer:
                (ready,) = await take(peer, 1)
                assert ready.get("received", 0) <= sent
                for word in words[ready.get("received", 0) :][:7]:
                    await send(peer, {"type": "text", "text": word + " "})
                sent = max(sent, min(len(words), ready.get("received", 0) + 7))
                if ready.get("received", 0) == len(words):
                    await send(peer, {"type": "end"})
                    answers += await rest(peer)
                else:
                    answers += await take(peer, 3)
                    peer.transport.abort()
        assert complete(answers) == [word.upper() for word in words]


@in_loop
async def test_a_connection_that_the_server_still_believes_in_is_replaced() -> None:
    async with served() as server, kept(server.url) as (old, token):
        await send(old, {"type": "text", "text": "one "})
        seen = await take(old, 2)
        async with back(server.url, token, 2) as new:
            assert json.loads(await new.recv())["type"] == "ready"
            assert (await rest(old))[-1]["code"] == "replaced"
            await send(new, {"type": "text", "text": "two "}, {"type": "end"})
            assert complete(seen + await rest(new)) == ["ONE", "TWO"]


@in_loop
async def test_a_session_is_forgotten_after_a_while_and_never_kept_unasked() -> None:
    async with served(resume_timeout=0.05) as server:
        async with started(server.url) as peer:
            peer.transport.abort()
        await server.app.admission.emptied()
        async with kept(server.url) as (peer, token):
            peer.transport.abort()
        await server.app.admission.emptied()
        await until(lambda: server.engine.sessions == [])
        async with back(server.url, token, 0) as peer:
            assert (await rest(peer))[-1]["code"] == "resume_lost"
            assert peer.close_code == 1008


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + "~", lambda t: t.split(".")[0], lambda t: ""])
@in_loop
async def test_nobody_else_takes_a_session_over(spoil: Any) -> None:
    async with served() as server, kept(server.url) as (peer, token):
        async with back(server.url, spoil(token), 0) as thief:
            assert (await rest(thief))[-1]["code"] == "resume_lost"
        await send(peer, {"type": "text", "text": SENTENCE})
        assert await finish(peer) == SENTENCE.upper().split()


@in_loop
async def test_a_client_that_said_goodbye_is_not_waited_for() -> None:
    async with served() as server:
        async with kept(server.url):
            pass
        await server.app.admission.emptied()


@in_loop
async def test_a_full_server_lets_its_own_sessions_back_in() -> None:
    async with served(max_sessions=1) as server:
        async with kept(server.url) as (peer, token):
            peer.transport.abort()
        with pytest.raises(InvalidStatus, match="503"):
            await connect(server.url)
        server.app.admission.draining = True
        async with back(server.url, token, 0) as peer:
            assert json.loads(await peer.recv())["type"] == "ready"
            assert await finish(peer) == []
        server.app.admission.draining = False


@in_loop
async def test_acknowledged_events_go_and_unacknowledged_ones_are_bounded() -> None:
    async with served(max_kept_events=10) as server:
        async with kept(server.url) as (peer, token):
            await send(peer, {"type": "text", "text": "one two three "})
            seen = await take(peer, 6)
            await send(peer, {"type": "ack", "seq": 6}, {"type": "mark", "id": "here"})
            seen += await take(peer, 1)
            (session,) = server.app.sessions.values()
            assert [event.seq for event in session._events.after(6) or ()] == [7]
            assert session._events.after(5) is None
            await send(peer, {"type": "text", "text": "four five six seven eight nine "})
            await take(peer, 12)
            peer.transport.abort()
        async with back(server.url, token, 7) as peer:
            assert (await rest(peer))[-1]["code"] == "resume_lost"
        async with back(server.url, token, 9) as peer:
            assert [m["type"] for m in await take(peer, 3)] == ["ready", "source", "target"]


@pytest.mark.parametrize("seq", [-1, 1, 10**30])
@in_loop
async def test_what_has_not_happened_cannot_be_acknowledged(seq: int) -> None:
    async with served() as server, kept(server.url) as (peer, _):
        await send(peer, {"type": "ack", "seq": seq})
        assert (await rest(peer))[-1]["code"] == "bad_message"


@pytest.mark.parametrize("after", ["7", "-1", "x", "9" * 40])
@in_loop
async def test_a_number_that_never_was(after: str) -> None:
    """What is no number counts as 0: all is sent; a number ahead of the session is refused."""
    async with served() as server:
        async with kept(server.url) as (peer, token):
            await send(peer, {"type": "text", "text": "one "})
            await take(peer, 2)
            peer.transport.abort()
        async with back(server.url, token, after) as peer:  # type: ignore[arg-type]
            answers = await take(peer, 1)
            expected = "error" if after == "7" else "ready"
            assert answers[0]["type"] == expected


@in_loop
async def test_a_client_that_went_away_while_it_did_not_read_finds_its_session_running() -> None:
    """The engine had been paused for the slow reader; the new connection must not inherit that."""
    async with served() as server:
        async with kept(server.url) as (peer, token):
            (session,) = server.engine.sessions
            next(iter(server.app.sessions.values())).pause(True)
            await until(lambda: session.paused)
            await send(peer, {"type": "text", "text": "one two "})
            peer.transport.abort()
        async with back(server.url, token, 0) as peer:
            (ready,) = await take(peer, 1)
            if ready.get("received", 0) == 0:
                await send(peer, {"type": "text", "text": "one two "})
            assert await finish(peer) == ["ONE", "TWO"]


@in_loop
async def test_the_engine_fails_while_the_client_is_away() -> None:
    engine = FakeEngine()
    async with served(engine) as server:
        async with kept(server.url) as (peer, token):
            await send(peer, {"type": "text", "text": "one boom "})
            await until(lambda: not engine.sessions)
            peer.transport.abort()
        async with back(server.url, token, 0) as peer:
            answers = await rest(peer)
            assert answers[-1].get("code") in ("internal", "resume_lost")
        await server.app.admission.emptied()


@in_loop
async def test_committed_words_of_a_lost_server_come_first() -> None:
    """Chaos found that a word with the no-break space of French typography was taken for two and refused."""
    prefix = ["LE", "PETIT\u202f?"]
    async with served() as server, kept(server.url, prefix=prefix) as (peer, _):
        await send(peer, {"type": "text", "text": "the small cat "})
        assert await finish(peer) == ["LE", "PETIT\u202f?", "CAT"]


@pytest.mark.parametrize("prefix", [["a"] * 600, [""], ["two words"], ["a\n"], ["a\u2003b"]])
@in_loop
async def test_a_prefix_that_cannot_be_one_is_named(prefix: list[str]) -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, {**KEEP, "prefix": prefix})
        assert (await rest(peer))[-1]["code"] == "bad_prefix"


@in_loop
async def test_a_session_that_goes_on_lagging_changes_to_the_policy_it_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lag_watch, "INTERVAL", 0.02)
    monkeypatch.setattr(lag_watch, "LOOK", 0.005)
    monkeypatch.setattr(lag_watch, "OVER", 0.05)
    engine = GatedEngine()
    async with served(engine, lag_ms=20) as server, connect(server.url) as peer:
        await send(peer, {**START, "policy": "wait-3", "lag_policy": "wait-1"})
        await take(peer, 1)
        engine.gate = False
        await send(peer, {"type": "text", "text": "one two "})
        answers = await take(peer, 2)
        assert [answer["type"] for answer in answers] == ["lag", "lag"]
        (session,) = engine.sessions
        await until(lambda: session.k == 1)
        engine.gate = True
        while not (answers[-1]["type"] == "changed" and answers[-1]["policy"] == "wait-3"):
            await send(peer, {"type": "mark", "id": "tick"})
            answers += await take(peer, 1)
            await asyncio.sleep(0.005)  # time is the subject here
        changes = [answer for answer in answers if answer["type"] == "changed"]
        assert [change["policy"] for change in changes] == ["wait-1", "wait-3"]
        assert all(change["lag"] for change in changes)
        await send(peer, {"type": "end"})
        assert complete(answers + await rest(peer)) == ["ONE", "TWO"]


@in_loop
async def test_a_lag_policy_that_the_model_has_not_learned_is_named_at_once() -> None:
    """And not when the session lags, in the turn of all sessions."""
    async with served() as server, connect(server.url) as peer:
        await send(peer, {**START, "lag_policy": "monotonic"})
        assert (await rest(peer))[-1]["code"] == "bad_policy"


@in_loop
async def test_a_lag_policy_that_is_none_is_named() -> None:
    async with served() as server, connect(server.url) as peer:
        await send(peer, {**START, "lag_policy": "wait-0"})
        assert (await rest(peer))[-1]["code"] == "bad_policy"
