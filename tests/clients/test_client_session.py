"""A session's verbs and its end, with and without asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scripted_server import READY, Capitals, in_loop, overloaded, says, serving, serving_aside
from streamtrans_clients import Refused, SessionFailed, connect, open_sync

from streamtrans.messages import Changed, Done, Event, Marked, Segment, Source, Target

VERBS = [
    {
        "type": "start",
        "version": 1,
        "source": "en",
        "target": "fr",
        "policy": "wait-2",
        "keep": True,
    },
    {"type": "text", "text": "I "},
    {"type": "text", "text": "am", "at": 60_000.0},
    {"type": "flush"},
    {"type": "mark", "id": "here"},
    {"type": "policy", "policy": "wait-5"},
    {"type": "end"},
]
KINDS = [Source, Target, Source, Target, Segment, Marked, Changed, Done]


def clocked(received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was received, after a check that the first text bears the client's clock."""
    assert 0 <= received[1]["at"] < 10_000
    return [received[0], {"type": "text", "text": received[1]["text"]}, *received[2:]]


@in_loop
async def test_every_verb_and_typed_events_to_the_end() -> None:
    server = Capitals()
    events: list[Event] = []
    async with serving(server) as url, connect(url, policy="wait-2") as session:
        assert session.ready.limits == {"max_text_bytes": 8192}
        await session.send_text("I ")
        await session.send_text("am", at=60_000)
        await session.flush()
        await session.mark("here")
        await session.set_policy("wait-5")
        await session.end()
        events += [event async for event in session]
        assert [event async for event in session] == []
    assert clocked(server.received) == VERBS
    assert [type(event) for event in events] == KINDS


def test_the_same_without_asyncio() -> None:
    server = Capitals()
    with serving_aside(server) as url, open_sync(url, policy="wait-2") as session:
        session.send_text("I ")
        session.send_text("am", at=60_000)
        session.flush()
        session.mark("here")
        session.set_policy("wait-5")
        session.end()
        events = list(session)
        assert list(session) == []
    assert clocked(server.received) == VERBS
    assert [type(event) for event in events] == KINDS


@in_loop
async def test_a_refused_handshake() -> None:
    async with serving(Capitals(), process_request=overloaded) as url:
        with pytest.raises(Refused, match="draining") as refused:
            async with connect(url):
                pass
    assert (refused.value.status, refused.value.retry_after) == (503, 3.0)


def test_a_refused_handshake_without_asyncio() -> None:
    with serving_aside(Capitals(), process_request=overloaded) as url:
        with pytest.raises(Refused) as refused, open_sync(url):
            pass
    assert (refused.value.status, refused.value.retry_after) == (503, 3.0)


ERROR = {"type": "error", "code": "bad_policy", "text": "no such policy"}
ENDS = [
    ("bad_policy", (ERROR,)),
    ("bad_policy", (READY, ERROR)),
    ("connection_lost", ()),
    ("connection_lost", (READY,)),
    ("bad_server", ({"type": "hello"},)),
    ("bad_server", (READY, "{")),
    ("bad_server", (READY, READY)),
    ("bad_server", ({"type": "done", "seq": 1, "source_words": 0, "target_words": 0},)),
]


@pytest.mark.parametrize(("code", "answers"), ENDS)
@in_loop
async def test_a_session_that_fails_has_a_name(code: str, answers: tuple[object, ...]) -> None:
    async with serving(says(*answers, code=1008, reason="why")) as url:
        with pytest.raises(SessionFailed) as failed:
            async with connect(url) as session:
                async for _ in session:
                    pass
    assert failed.value.code == code
    assert "why" in failed.value.text or code != "connection_lost"


@pytest.mark.parametrize(("code", "answers"), ENDS)
def test_the_same_names_without_asyncio(code: str, answers: tuple[object, ...]) -> None:
    with serving_aside(says(*answers, code=1008)) as url:
        with pytest.raises(SessionFailed) as failed, open_sync(url) as session:
            list(session)
    assert failed.value.code == code


@in_loop
async def test_a_verb_after_the_end_of_the_connection() -> None:
    async with serving(says(READY)) as url, connect(url) as session:
        with pytest.raises(SessionFailed, match="1000"):
            async for _ in session:
                pass
        with pytest.raises(SessionFailed, match="connection_lost"):
            await session.send_text("too late")


@pytest.mark.parametrize("url", ["here", "http://127.0.0.1:1/", "ws://"])
def test_an_address_that_is_none_has_a_name(url: str) -> None:
    """`streamtrans text FILE --url localhost:8765` was answered with a traceback."""
    with pytest.raises(SessionFailed) as failed, open_sync(url):
        pass
    assert failed.value.code == "bad_url"


@in_loop
async def test_a_server_of_something_else_has_a_name() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SessionFailed) as failed:
            async with connect(f"ws://127.0.0.1:{port}/v1/translate"):
                pass
    assert failed.value.code == "bad_server"


def test_no_server() -> None:
    with pytest.raises(OSError), open_sync("ws://127.0.0.1:1/v1/translate"):
        pass
