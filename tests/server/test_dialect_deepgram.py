"""Deepgram's live transcription, spoken by `deepgram-sdk` itself."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from fake_engine import FakeEngine
from fake_speech import speech
from harness import in_loop, rest, served, until
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

with warnings.catch_warnings():  # it still uses what websockets calls legacy
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
    from deepgram.core.api_error import ApiError
    from deepgram.listen.v1 import client as _client  # noqa: F401  # loads the rest of it

SECRET = "correct-horse-battery"
WANTED = {"model": "nova-3", "language": "en-US", "encoding": "linear16", "sample_rate": 16000}


@asynccontextmanager
async def listening(url: str, key: str = SECRET, **wanted: Any) -> AsyncIterator[Any]:
    base = url.removesuffix("/v1/translate")
    environment = DeepgramClientEnvironment(base=base, production=base, agent=base, agent_rest=base)
    client = AsyncDeepgramClient(api_key=key, environment=environment)
    async with client.listen.v1.connect(**{**WANTED, **wanted}) as connection:
        yield connection


async def say(connection: Any, text: str) -> None:
    sound = speech(text)
    for at in range(0, len(sound), 3200):
        await connection.send_media(sound[at : at + 3200])


async def heard(connection: Any) -> list[Any]:
    await connection.send_close_stream()
    return [message async for message in connection]


def transcript(result: Any) -> str:
    return str(result.channel.alternatives[0].transcript)


@in_loop
async def test_a_pause_makes_a_result_final() -> None:
    async with served() as server, listening(server.url) as connection:
        await say(connection, "one two. three four.")
        *results, metadata = await heard(connection)
    assert [transcript(result) for result in results] == ["one two", "three four"]
    assert all(result.type == "Results" for result in results)
    assert all(result.is_final and result.speech_final for result in results)
    assert not any(result.from_finalize for result in results)
    words = [w for result in results for w in result.channel.alternatives[0].words]
    assert [(w.word, w.start, w.end) for w in words] == [
        ("one", 0.0, 0.12),
        ("two", 0.16, 0.28),
        ("three", 0.92, 1.04),
        ("four", 1.08, 1.2),
    ]
    assert (results[0].start, results[0].duration) == (0.0, 0.28)
    assert (results[1].start, round(results[1].duration, 3)) == (0.28, 0.92)
    sound = speech("one two. three four.")
    assert metadata.type == "Metadata"
    assert metadata.sha256 == hashlib.sha256(sound).hexdigest()
    assert metadata.duration == pytest.approx(len(sound) / 32_000, abs=1e-3)
    assert metadata.request_id == results[0].metadata.request_id
    assert results[0].metadata.model_info.name == "en-fr"


@in_loop
async def test_interim_results_grow_and_are_replaced() -> None:
    async with served() as server, listening(server.url, interim_results=True) as connection:
        await say(connection, "one two three.")
        *results, _ = await heard(connection)
    *interim, final = results
    assert interim and not any(result.is_final or result.speech_final for result in interim)
    assert final.is_final and transcript(final) == "one two three"
    shown = [transcript(result) for result in interim]
    assert all(transcript(final).startswith(text) for text in shown)
    assert shown == sorted(shown, key=len)
    assert {result.start for result in results} == {0.0}


@in_loop
async def test_a_long_result_is_final_before_the_pause() -> None:
    words = "one two three four five six seven eight nine ten " * 4  # 40 words, 5.6 s
    async with served() as server, listening(server.url) as connection:
        await say(connection, words)
        *results, _ = await heard(connection)
    assert len(results) > 1
    assert [result.speech_final for result in results] == [False] * (len(results) - 1) + [True]
    assert " ".join(map(transcript, results)) == words.strip()
    spans = [(result.start, result.start + result.duration) for result in results]
    for (_, end), (begin, _) in pairwise(spans):
        assert end == pytest.approx(begin)
    assert all(end - begin < 3.3 for begin, end in spans)


@in_loop
async def test_finalize_answers_with_what_was_said_so_far() -> None:
    async with served() as server, listening(server.url) as connection:
        await say(connection, "one. two three")
        await connection.send_finalize()
        await connection.send_keep_alive()
        await say(connection, "four")
        await connection.send_finalize()
        await connection.send_finalize()
        *results, _ = await heard(connection)
    told = [(transcript(result), bool(result.from_finalize)) for result in results]
    assert told == [("one", False), ("two three", True), ("four", True), ("", True)]
    assert all(result.is_final and result.speech_final for result in results)


@in_loop
async def test_events_of_the_voice_are_told_to_those_who_ask() -> None:
    async with (
        served() as server,
        listening(server.url, vad_events=True, utterance_end_ms=1000) as connection,
    ):
        await say(connection, "one two. three.")
        messages = await heard(connection)
    kinds = [message.type for message in messages]
    once = ["SpeechStarted", "Results", "UtteranceEnd"]
    assert kinds == [*once, *once, "Metadata"]
    assert [messages[0].timestamp, messages[3].timestamp] == [0.0, 0.92]
    assert [messages[2].last_word_end, messages[5].last_word_end] == [0.28, 1.04]


@in_loop
async def test_without_endpointing_nothing_is_speech_final() -> None:
    async with served() as server, listening(server.url, endpointing="false") as connection:
        await say(connection, "one two. three.")
        *results, _ = await heard(connection)
    assert [(transcript(r), r.is_final, r.speech_final) for r in results] == [
        ("one two", True, False),
        ("three", True, False),
    ]


@pytest.mark.parametrize(
    ("asked", "pause"), [({}, None), ({"endpointing": 700}, 700), ({"endpointing": 10}, 200)]
)
@in_loop
async def test_endpointing_says_how_long_a_pause_is(asked: dict[str, int], pause: int) -> None:
    engine = FakeEngine()
    async with served(engine) as server, listening(server.url, **asked) as connection:
        await say(connection, "one.")
        await until(lambda: bool(engine.sessions))
        assert engine.sessions[0].pause == pause
        await heard(connection)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language", "de"),
        ("language", "multi"),
        ("encoding", "opus"),
        ("encoding", None),
        ("sample_rate", 12345),
        ("sample_rate", None),
        ("channels", 2),
        ("diarize", "true"),
        ("keyterm", "names"),
        ("callback", "http://example.org"),
        ("interim_results", "perhaps"),
        ("endpointing", "soon"),
        ("policy", "wait-0"),
        ("\u00e9", "1"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(name: str, value: Any) -> None:
    @in_loop
    async def run() -> None:
        query = {key: str(v) for key, v in {**WANTED, name: value}.items() if v is not None}
        async with served() as server:
            url = server.url.replace("/translate", "/listen")
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{url}?{'&'.join(f'{k}={v}' for k, v in query.items())}")
            assert caught.value.response.status_code == 400
            assert (caught.value.response.body or b"").decode().startswith(f"{name}: ")
            assert "Retry-After" not in caught.value.response.headers
            assert server.app.admission.taken == 0

    run()


@in_loop
async def test_features_may_be_switched_off() -> None:
    off = {"diarize": "false", "multichannel": "false", "channels": 1, "smart_format": True}
    async with served() as server, listening(server.url, tag="a", **off) as connection:
        await say(connection, "one.")
        assert transcript((await heard(connection))[0]) == "one"


@in_loop
async def test_a_key_goes_into_the_header_or_the_subprotocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMTRANS_TOKEN", SECRET)
    async with served() as server:
        async with listening(server.url) as connection:
            assert [m.type for m in await heard(connection)] == ["Metadata"]
        with pytest.raises(ApiError) as caught:
            async with listening(server.url, key="wrong"):
                pass
        assert caught.value.status_code == 401
        url = server.url.replace("/translate", "/listen?encoding=linear16&sample_rate=16000")
        async with connect(url, subprotocols=["token", SECRET]) as peer:
            assert peer.subprotocol == "token"


@in_loop
async def test_a_message_that_is_not_known_is_an_error_and_the_session_goes_on() -> None:
    async with served() as server:
        url = server.url.replace("/translate", "/listen?encoding=linear16&sample_rate=16000")
        async with connect(url) as peer:
            for wrong in (
                "{",
                "[]",
                '{"type":"Configure"}',
                '{"type":7}',
                '"' + "a" * 20_000 + '"',
            ):
                await peer.send(wrong)
                answer = json.loads(await peer.recv())
                assert (answer["type"], answer["variant"]) == ("Error", "SchemaError")
            await peer.send(speech("one."))
            await peer.send('{"type":"CloseStream"}')
            await peer.send(b"more")
            assert [message["type"] for message in await rest(peer)] == ["Results", "Metadata"]
            assert peer.close_code == 1000
