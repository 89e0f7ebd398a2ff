"""Each thing a client can do wrong has one name, ends that session alone and shows no trace."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from harness import SENTENCE, START, finish, in_loop, rest, send, served, started
from websockets.asyncio.client import connect

TEXT = {"type": "text", "text": "one two "}
END = {"type": "end"}
HEAR = {**START, "kind": "audio", "rate": 16000}
Case = tuple[str, list[Any], int]
CASES: list[Case] = [
    ("bad_json", [START, '{"type":"text"'], 1007),
    ("bad_json", [START, ""], 1007),
    ("bad_message", ["[" * 5000], 1007),
    ("bad_json", [START, '{"a":' + "[" * 7000 + "]" * 7000 + ',"type":"end"}'], 1007),
    ("bad_message", [{"type": "begin"}], 1007),
    ("bad_message", [{"type": "source", "seq": 1, "text": "a", "index": 0, "at": 0}], 1007),
    ("bad_message", [START, {"type": "text", "text": 7}], 1007),
    ("bad_message", [START, {"type": "text", "text": "a", "size": 1}], 1007),
    ("bad_message", [START, '{"type":"text","text":"a","at":1e999}'], 1007),
    ("bad_message", [START, []], 1007),
    ("bad_message", [START, {"type": "mark", "id": "é" * 129}], 1007),
    ("bad_kind", [START, b"\0\1\2\3"], 1003),
    ("bad_order", [TEXT], 1002),
    ("bad_order", [START, START], 1002),
    ("bad_order", [START, TEXT, END, TEXT], 1002),
    ("bad_order", [START, TEXT, END, END], 1002),
    ("unsupported_version", [{**START, "version": 2}], 1008),
    ("unsupported_kind", [{**START, "kind": "video"}], 1008),
    ("bad_rate", [{**START, "rate": 16000}], 1008),
    ("bad_rate", [{**START, "kind": "audio"}], 1008),
    ("bad_rate", [{**START, "kind": "audio", "rate": 11025}], 1008),
    ("bad_message", [{**START, "kind": "audio", "rate": "16000"}], 1007),
    ("bad_pause", [{**START, "pause": 600}], 1008),
    ("bad_pause", [{**HEAR, "pause": 199}], 1008),
    ("bad_pause", [{**HEAR, "pause": 5001}], 1008),
    ("bad_message", [{**HEAR, "pause": 0.6}], 1007),
    ("bad_kind", [HEAR, TEXT], 1003),
    ("bad_order", [b"\0\0"], 1002),
    ("bad_order", [HEAR, END, b"\0\0"], 1002),
    ("too_large", [HEAR, bytes(262_146)], 1009),
    ("too_large", [START, {"type": "text", "text": "a " * 9000}], 1009),
    ("unsupported_language", [{**START, "target": "de"}], 1008),
    ("bad_policy", [{**START, "policy": "wait-0"}], 1008),
    ("bad_policy", [START, {"type": "policy", "policy": "read everything"}], 1008),
    ("bad_clock", [START, {**TEXT, "at": -1}], 1008),
    ("bad_clock", [START, {**TEXT, "at": 900_000}, {**TEXT, "at": 899_999.9}], 1008),
    ("bad_text", [START, {"type": "text", "text": "a" * 65}], 1008),
    ("bad_text", [START, '{"type":"text","text":"' + "é " * 3000 + '"}'], 1008),
]


@pytest.mark.parametrize(("code", "messages", "close_code"), CASES)
@in_loop
async def test_error_then_close_while_another_session_is_whole(
    code: str, messages: list[Any], close_code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served() as server, started(server.url) as other:
        await send(other, {"type": "text", "text": SENTENCE})
        async with connect(server.url) as peer:
            for message in messages:
                raw = isinstance(message, (str, bytes))
                await peer.send(message if raw else json.dumps(message))
            answers = await rest(peer)
        await send(other, {"type": "text", "text": SENTENCE})
        assert await finish(other) == (SENTENCE * 2).upper().split()
    assert answers[-1]["type"] == "error"
    assert answers[-1]["code"] == code
    assert set(answers[-1]) == {"type", "code", "text"}
    assert (peer.close_code, peer.close_reason) == (close_code, code)
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("streamtrans.server")]
    assert any(f"reason={code}" in line for line in logged)
    assert not any(word in line for line in logged for word in ("Traceback", "cat", "one two"))


@in_loop
async def test_invalid_utf8_closes_with_1007() -> None:
    async with served() as server, started(server.url) as peer:
        await peer.send(b'{"type":"text","text":"\xff"}', text=True)
        assert (await rest(peer))[-1]["code"] == "bad_json"
        assert peer.close_code == 1007


@in_loop
async def test_a_huge_message_closes_with_1009() -> None:
    """websockets refuses it from the length in its header, so no error frame comes before."""
    limits = {"max_message_bytes": 500, "max_audio_bytes": 400}
    async with served(**limits) as server, started(server.url) as other:
        async with started(server.url) as peer:
            await send(peer, {"type": "text", "text": "a " * 500})
            assert await rest(peer) == []
            assert peer.close_code == 1009
        await send(other, TEXT)
        assert await finish(other) == ["ONE", "TWO"]


@in_loop
async def test_a_client_that_does_not_start_is_closed() -> None:
    async with served(start_timeout=0.05) as server, connect(server.url) as peer:
        assert (await rest(peer))[-1]["code"] == "start_timeout"
        assert peer.close_code == 1008


@in_loop
async def test_an_idle_session_is_closed() -> None:
    async with served(idle_timeout=0.3) as server, started(server.url) as peer:
        assert (await rest(peer))[-1]["code"] == "idle_timeout"


@in_loop
async def test_pings_of_the_client_keep_an_idle_session() -> None:
    async with served(idle_timeout=0.5) as server, started(server.url) as peer:
        for _ in range(100):
            await (await peer.ping())
            await asyncio.sleep(0.01)  # time is the subject here: twice the timeout in all
        await send(peer, TEXT)
        assert await finish(peer) == ["ONE", "TWO"]
