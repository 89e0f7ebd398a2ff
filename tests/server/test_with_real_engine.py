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
