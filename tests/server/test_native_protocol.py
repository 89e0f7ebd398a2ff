"""What a well-behaved client gets: every word once, in order, with its clocks."""

from __future__ import annotations

import asyncio
import json

from harness import SENTENCE, START, complete, finish, in_loop, of_type, rest, send, served, started
from websockets.asyncio.client import connect


@in_loop
async def test_ready_tells_who_translates_and_what_is_accepted() -> None:
    async with served(max_backlog_words=77) as server, connect(server.url) as peer:
        await send(peer, {**START, "policy": "wait-2"})
        ready = json.loads(await peer.recv())
    assert ready.pop("session")
    assert ready.pop("limits")["max_backlog_words"] == 77
    assert ready == {
        "type": "ready",
        "version": 1,
        "model": "en-fr",
        "source": "en",
        "target": "fr",
        "kind": "text",
        "policy": "wait-2",
    }


@in_loop
async def test_a_session_is_translated_to_the_last_word_and_closes_with_1000() -> None:
    async with served() as server, started(server.url) as peer:
        await send(peer, {"type": "text", "text": "the cat s"}, {"type": "text", "text": "at on"})
        assert await finish(peer) == ["THE", "CAT", "SAT", "ON"]
        assert peer.close_code == 1000


@in_loop
async def test_committed_words_come_before_the_end_of_the_sentence() -> None:
    async with served() as server, started(server.url) as peer:
        await send(peer, {"type": "text", "text": "the cat sat "})
        events = [json.loads(await peer.recv()) for _ in range(4)]
    assert [event["type"] for event in events] == ["source", "source", "source", "target"]
    assert events[-1]["read"] == 3


@in_loop
async def test_the_clients_source_clock_is_kept_and_the_servers_fills_in() -> None:
    async with served() as server, started(server.url, "wait-1") as peer:
        await send(
            peer,
            {"type": "text", "text": "one ", "at": 250.5},
            {"type": "text", "text": "two ", "at": 90_000},
            {"type": "text", "text": "three "},
            {"type": "end"},
        )
        messages = await rest(peer)
    assert [event["at"] for event in of_type(messages, "source")] == [250.5, 90_000, 90_000]
    assert all(0 <= event["emitted"] < 90_000 for event in of_type(messages, "target"))


@in_loop
async def test_flush_mark_and_policy_in_the_middle() -> None:
    async with served() as server, started(server.url) as peer:
        await send(
            peer,
            {"type": "text", "text": "one two"},
            {"type": "flush"},
            {"type": "flush"},
            {"type": "mark", "id": "après"},
            {"type": "policy", "policy": "wait-1"},
            {"type": "text", "text": "three"},
            {"type": "end"},
        )
        messages = await rest(peer)
    assert complete(messages) == ["ONE", "TWO", "THREE"]
    assert [message["type"] for message in messages] == [
        *("source", "source", "target", "target", "segment", "marked", "changed"),
        *("source", "target", "segment", "done"),
    ]
    assert of_type(messages, "marked")[0]["id"] == "après"
    assert of_type(messages, "changed")[0]["index"] == 2


@in_loop
async def test_sessions_at_once_do_not_mix() -> None:
    async def one(url: str, name: int) -> None:
        words = [f"s{name}w{number}" for number in range(40)]
        async with started(url, f"wait-{1 + name % 5}") as peer:
            for word in words:
                await send(peer, {"type": "text", "text": word + " "})
                await asyncio.sleep(0)
            assert await finish(peer) == [word.upper() for word in words]

    async with served() as server:
        await asyncio.gather(*(one(server.url, name) for name in range(12)))
        await server.app.admission.emptied()
        assert server.engine.sessions == []


@in_loop
async def test_a_message_in_fragments_is_one_message() -> None:
    async with served() as server, started(server.url) as peer:
        await peer.send(['{"type":"text",', "", '"text":"one ', 'two"}'])
        assert await finish(peer) == ["ONE", "TWO"]


@in_loop
async def test_a_client_that_leaves_frees_its_session() -> None:
    async with served() as server:
        async with started(server.url) as peer:
            await send(peer, {"type": "text", "text": SENTENCE})
            peer.transport.abort()
        await server.app.admission.emptied()
        async with started(server.url) as peer:
            await send(peer, {"type": "text", "text": SENTENCE})
            assert await finish(peer) == SENTENCE.upper().split()
        assert server.engine.sessions == []
