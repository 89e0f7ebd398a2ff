"""The real engine over a toy model behind the server: served is what the engine says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import fakes
import pytest
import torch
from harness import finish, in_loop, rest, send, served, started

from streamtrans.messages import End, Target, Text


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on two busy cores wait for each other: 96 ms a tick was seen against 3 ms."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def alone(text: str, policy: str) -> list[str]:
    engine = fakes.engine()
    events = fakes.speak(engine, engine.open(policy), Text(text, 0.0), End())
    return [event.text for event in events if isinstance(event, Target)]


@in_loop
async def test_sessions_at_once_say_what_each_says_alone() -> None:
    async def one(url: str, number: int) -> list[str]:
        async with started(url, f"wait-{1 + number}") as peer:
            for piece in texts[number].split(" "):
                await send(peer, {"type": "text", "text": piece + " "})
                await asyncio.sleep(0)
            return await finish(peer)

    texts = [" ".join(fakes.sentences(2, seed=number)) for number in range(4)]
    async with served(fakes.engine()) as server:
        said = await asyncio.gather(*(one(server.url, number) for number in range(4)))
        await server.app.admission.emptied()
        assert server.engine.sessions == 0
    assert said == [alone(text, f"wait-{1 + number}") for number, text in enumerate(texts)]
    assert all(said)


@in_loop
async def test_its_errors_have_names() -> None:
    async with served(fakes.engine()) as server:
        for bad, code in (
            ({"type": "policy", "policy": "nonsense"}, "bad_policy"),
            ({"type": "text", "text": "a", "at": -5}, "bad_clock"),
        ):
            async with started(server.url) as peer:
                await send(peer, {"type": "text", "text": "the old boat "}, bad)
                assert (await rest(peer))[-1]["code"] == code


ABUSE: list[str | bytes] = [
    "{",
    b"\x00\xff",
    '{"type": "text", "text": "\\ud800 "}',
    '{"type": "text", "text": "' + "\ufdfa" * 300 + ' "}',
    '{"type": "text", "text": "the old ", "at": 1e999}',
    '{"type": "policy", "policy": "wait-99999"}',
    '{"type": "mark", "id": "' + "x" * 300 + '"}',
    '{"type": "start", "version": 1, "source": "en", "target": "fr"}',
    "x" * 20_000,
]


@in_loop
async def test_abuse_harms_nobody_else() -> None:
    """Wrong, huge and torn messages in the middle of a sentence, then the door slammed: others hear nothing of it."""

    async def abuse(url: str, frame: str | bytes) -> None:
        async with started(url, "wait-1") as peer:
            await send(peer, {"type": "text", "text": "the old house sees "})
            await peer.send(frame)
            if "ufdfa" in ascii(frame):
                peer.transport.abort()  # the one among them that is allowed
            else:
                await rest(peer)

    async def behave(url: str, number: int) -> list[str]:
        async with started(url, "wait-2") as peer:
            for piece in texts[number].split(" "):
                await send(peer, {"type": "text", "text": piece + " "})
            return await finish(peer)

    texts = [" ".join(fakes.sentences(2, seed=30 + number)) for number in range(3)]
    async with served(fakes.engine(max_sessions=16)) as server:
        said, *_ = await asyncio.gather(
            asyncio.gather(*(behave(server.url, number) for number in range(3))),
            *(abuse(server.url, frame) for frame in ABUSE),
        )
        await server.app.admission.emptied()
        assert server.engine.sessions == 0 and not server.engine.ready
    assert said == [alone(text, "wait-2") for text in texts]


@in_loop
async def test_a_flood_of_everything_loses_nothing() -> None:
    text = " ".join(fakes.sentences(8))
    async with served(fakes.engine(), max_backlog_words=10) as server:
        async with started(server.url) as peer:
            reading = asyncio.create_task(rest(peer))
            for number, piece in enumerate(text.split(" ")):
                await send(
                    peer,
                    {"type": "text", "text": piece + " "},
                    {"type": "mark", "id": str(number)},
                    {"type": "policy", "policy": f"wait-{1 + number % 4}"},
                )
            await send(peer, {"type": "end"})
            answers = await reading
    kinds = [answer["type"] for answer in answers]
    words = len(text.split())
    assert kinds[-1] == "done"
    assert kinds.count("source") == kinds.count("marked") == kinds.count("changed") == words
