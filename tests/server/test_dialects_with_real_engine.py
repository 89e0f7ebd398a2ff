"""Every dialect tells what the engine says of the same sound: no word lost, doubled or at another time."""

from __future__ import annotations

import base64
import json
from typing import Any

import fakes
import numpy as np
import soxr
from harness import in_loop, rest, served
from test_dialect_deepgram import heard, listening
from test_dialect_openai import joined, translating
from websockets.asyncio.client import connect

from streamtrans.messages import Audio, End, Event, Source, Target


def sound(rate: int) -> bytes:
    silence = fakes.noise(0.7) * 0
    samples = [fakes.noise(0.9), silence, fakes.noise(0.7, seed=1)]
    return fakes.pcm(soxr.resample(np.concatenate(samples), 16_000, rate))


def said(rate: int, policy: str) -> list[Event]:
    """By the engine alone."""
    engine = fakes.hearing_engine()
    return fakes.speak(engine, engine.open(policy, rate=rate), Audio(sound(rate)), End())


def texts(events: list[Event], side: type[Source] | type[Target]) -> str:
    return " ".join(event.text for event in events if isinstance(event, side))


@in_loop
async def test_every_dialect_tells_what_the_engine_says() -> None:
    at_16, at_24 = said(16_000, "wait-2"), said(24_000, "wait-2")
    assert len(texts(at_16, Source)) > 10 and len(texts(at_24, Target)) > 10
    async with served(fakes.hearing_engine()) as server:
        url = server.url
        async with translating(url, policy="wait-2") as connection:
            await connection.session.update(
                session={"audio": {"input": {"transcription": {"model": "any"}}}}
            )
            await append(connection, sound(24_000))
            await connection.send({"type": "session.close"})
            events = [event async for event in connection]
        assert joined(events, "output") == texts(at_24, Target)
        assert joined(events, "input") == texts(at_24, Source)

        async with listening(url) as connection:
            pieces = sound(16_000)
            for at in range(0, len(pieces), 4_001):  # an odd number of bytes
                await connection.send_media(pieces[at : at + 4_001])
            *results, metadata = await heard(connection)
        words = [word for result in results for word in result.channel.alternatives[0].words]
        spoken = [event for event in at_16 if isinstance(event, Source)]
        assert [word.punctuated_word for word in words] == [word.text for word in spoken]
        assert [(word.start, word.end) for word in words] == [
            (round((word.begin or 0) / 1000, 3), round((word.end or 0) / 1000, 3))
            for word in spoken
        ]
        assert metadata.duration == 2.3

        simulstream = url.replace("/translate", "/simulstream?policy=wait-2")
        async with connect(simulstream) as peer:
            await peer.send(sound(16_000))
            await peer.send(json.dumps({"end_of_stream": True}))
            messages = await rest(peer)
        assert "".join(m.get("new", "") for m in messages) == texts(at_16, Target)


async def append(connection: Any, data: bytes) -> None:
    for at in range(0, len(data), 9_601):
        piece = base64.b64encode(data[at : at + 9_601]).decode()
        await connection.send({"type": "session.input_audio_buffer.append", "audio": piece})
