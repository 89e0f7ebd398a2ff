"""A text through a session: each word comes back with the time it waited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from scripted_server import READY, Capitals, in_loop, says, serving
from streamtrans_clients import SessionFailed, connect
from streamtrans_clients.file import Timed, stream
from streamtrans_clients.pieces import at_once, paced
from streamtrans_clients.summary import Summary, summarise

from streamtrans.messages import Segment, Source, Target


@in_loop
async def test_words_come_back_with_the_source_word_they_waited_for() -> None:
    ticks = iter(range(1000))
    async with serving(Capitals()) as url, connect(url) as session:
        items = [
            item
            async for item in stream(
                session, paced("One two. Three", 200.0), lambda: float(next(ticks))
            )
        ]
    words = [item for item in items if isinstance(item, Timed)]
    assert [word.text for word in words if word.side == "source"] == ["One", "two.", "Three"]
    target = [word for word in words if word.side == "target"]
    assert [(word.text, word.event.read) for word in target] == [
        ("ONE", 1),
        ("TWO.", 2),
        ("THREE", 3),
    ]
    assert all(word.received_at > word.sent_at and word.lag_ms > 0 for word in words)
    assert [type(item) for item in items].count(Segment) == 1


@in_loop
async def test_a_long_text_at_once() -> None:
    text = "word " * 3000
    async with serving(Capitals()) as url, connect(url) as session:
        items = [item async for item in stream(session, at_once(text))]
    assert sum(isinstance(item, Timed) and item.side == "target" for item in items) == 3000


@in_loop
async def test_the_servers_error_is_told_while_the_source_goes_on_for_ever() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "word "
            await asyncio.sleep(0)

    error = {"type": "error", "code": "draining", "text": "later"}
    async with serving(says(READY, error)) as url, connect(url) as session:
        with pytest.raises(SessionFailed, match="draining"):
            async for _ in stream(session, endless()):
                pass


@in_loop
async def test_an_error_of_the_source_ends_the_session_and_is_told() -> None:
    """The events would otherwise be awaited for ever."""

    async def torn() -> AsyncIterator[str]:
        yield "one "
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    async with serving(Capitals()) as url, connect(url) as session:
        with pytest.raises(UnicodeDecodeError):
            async for _ in stream(session, torn()):
                pass


@in_loop
async def test_who_stops_listening_stops_sending() -> None:
    server = Capitals()
    async with serving(server) as url, connect(url) as session:
        words = stream(session, paced("one two three", 0.5))
        async for _ in words:
            break
        await words.aclose()
    assert [message["type"] for message in server.received] == ["start", "text"]


def source(index: int, sent_at: float, received_at: float) -> Timed:
    return Timed(Source(index + 1, "w", index, 0.0), sent_at, received_at)


def target(index: int, sent_at: float, received_at: float) -> Timed:
    return Timed(Target(index + 1, "w", index, index + 1, 0.0), sent_at, received_at)


def test_the_summary_of_words() -> None:
    words = [source(0, 1.0, 1.01), source(1, 2.0, 2.01)]
    words += [target(i, 2.0, 2.0 + (i + 1) / 100) for i in range(101)]
    summary = summarise(words, 3.25, 3.5)
    assert summary.first_word_ms == pytest.approx(1010)
    assert summary.lag_p50_ms == pytest.approx(510)
    assert summary.lag_p95_ms == pytest.approx(960)
    assert (summary.source_words, summary.target_words) == (2, 101)


def test_the_summary_of_nothing() -> None:
    assert summarise([], None, None) == Summary(0, 0, None, None, None, None, None)
