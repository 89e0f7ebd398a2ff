"""OpenAI Realtime, translation and transcription, spoken by the `openai` package itself."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fake_speech import speech
from harness import in_loop, of_type, rest, served
from openai import AsyncOpenAI
from websockets.asyncio.client import connect

SECRET = "correct-horse-battery"
PIECE = 9600  # bytes: 200 ms
TRANSCRIBED = {"audio": {"input": {"transcription": {"model": "any"}}}}


@asynccontextmanager
async def translating(url: str, **query: str) -> AsyncIterator[Any]:
    client = AsyncOpenAI(api_key=SECRET, websocket_base_url=url.removesuffix("/translate"))
    async with client.realtime.translations.connect(model="any", extra_query=query) as connection:
        yield connection


@asynccontextmanager
async def transcribing(url: str, **session: Any) -> AsyncIterator[Any]:
    """`session` goes into `audio.input` of a `session.update`."""
    client = AsyncOpenAI(api_key=SECRET, websocket_base_url=url.removesuffix("/translate"))
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert (await connection.recv()).type == "session.created"
        update = {"type": "transcription", "audio": {"input": session}}
        await connection.session.update(session=update)
        assert (await connection.recv()).type == "session.updated"
        yield connection


def pieces(text: str) -> list[str]:
    sound = speech(text, 24_000)
    cuts = range(0, len(sound), PIECE)
    return [base64.b64encode(sound[at : at + PIECE]).decode() for at in cuts]


async def say(connection: Any, text: str) -> None:
    for piece in pieces(text):
        await connection.send({"type": "session.input_audio_buffer.append", "audio": piece})


async def append(connection: Any, text: str) -> None:
    for piece in pieces(text):
        await connection.input_audio_buffer.append(audio=piece)


def joined(events: list[Any], side: str) -> str:
    return "".join(e.delta for e in events if e.type == f"session.{side}_transcript.delta")


@in_loop
async def test_a_translation_from_created_to_closed() -> None:
    async with served() as server, translating(server.url) as connection:
        created = await connection.recv()
        assert created.type == "session.created"
        assert (created.session.type, created.session.model) == ("translation", "en-fr")
        assert created.session.audio.output.language == "fr"
        assert created.session.audio.input.transcription is None
        await connection.session.update(session=TRANSCRIBED)
        updated = await connection.recv()
        assert updated.type == "session.updated"
        assert updated.session.audio.input.transcription.model == "any"
        assert updated.session.id == created.session.id
        await say(connection, "one two three. four five.")
        await connection.send({"type": "session.close"})
        events = [event async for event in connection]
        assert joined(events, "output") == "ONE TWO THREE FOUR FIVE"
        assert joined(events, "input") == "one two three four five"
        assert events[-1].type == "session.closed"
        numbers = [event.event_id for event in (created, updated, *events)]
        assert len(set(numbers)) == len(numbers)
        elapsed = [e.elapsed_ms for e in events if e.type == "session.output_transcript.delta"]
        assert elapsed == sorted(elapsed) and 400 < elapsed[0] <= elapsed[-1] < 2500


@in_loop
async def test_the_source_is_told_only_while_it_is_asked_for() -> None:
    async with served() as server, translating(server.url) as connection:
        await connection.session.update(session=TRANSCRIBED)
        await connection.session.update(session={"audio": {"input": {"transcription": None}}})
        await say(connection, "one two.")
        await connection.send({"type": "session.close"})
        events = [event async for event in connection]
        assert joined(events, "input") == ""
        assert joined(events, "output") == "ONE TWO"
        assert events[2].session.audio.input.transcription is None


@in_loop
async def test_what_cannot_be_obeyed_is_an_error_and_the_session_goes_on() -> None:
    bad: list[tuple[Any, str, str | None]] = [
        ({"type": "response.create"}, "unknown_event", "type"),
        ({"type": "session.update"}, "invalid_value", None),
        ({"type": "session.update", "session": {"speed": 2}}, "invalid_value", "session.speed"),
        ({"type": "session.update", "session": {"model": "b"}}, "invalid_value", "session.model"),
        (
            {"type": "session.update", "session": {"audio": {"output": {"language": "de"}}}},
            "unsupported_language",
            "session.audio.output.language",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
            },
            "unsupported_value",
            "session.audio.input.noise_reduction",
        ),
        ({"type": "session.input_audio_buffer.append", "audio": "%%"}, "invalid_audio", "audio"),
        ({"type": "session.input_audio_buffer.append"}, "invalid_value", None),
    ]
    async with served() as server, translating(server.url) as connection:
        await connection.recv()
        for event, code, param in bad:
            await connection.send({**event, "event_id": "mine"})
            answer = await connection.recv()
            assert answer.type == "error"
            assert (answer.error.code, answer.error.param) == (code, param), answer
            assert answer.error.type == "invalid_request_error"
            assert answer.error.event_id == "mine"
        await connection.send_raw(b"\0\1")
        assert (await connection.recv()).error.code == "invalid_event"
        await connection.send_raw("{")
        assert (await connection.recv()).error.code == "invalid_json"
        await say(connection, "one.")
        await connection.send({"type": "session.close"})
        await connection.send({"type": "session.close"})
        events = [event async for event in connection]
        assert joined(events, "output") == "ONE"
        assert [e.error.code for e in events if e.type == "error"] == ["session_closing"]


@in_loop
async def test_the_delay_of_a_translation_is_its_policy() -> None:
    """`wait-1` of the query writes after one word; `xhigh` waits for more words than there are before the pause."""
    async with served() as server, translating(server.url, policy="wait-1") as connection:
        await say(connection, "one two.")
        slow = {"model": "any", "delay": "xhigh"}
        await connection.session.update(session={"audio": {"input": {"transcription": slow}}})
        await say(connection, "three four.")
        await connection.send({"type": "session.close"})
        events = [event async for event in connection]
    sides = [e.type.split(".")[1].split("_")[0] for e in events if e.type.endswith("delta")]
    assert [e.delta for e in events if e.type == "session.output_transcript.delta"] == [
        "ONE",
        " TWO",
        " THREE",
        " FOUR",
    ]
    assert sides[-4:] == ["input", "input", "output", "output"]


@in_loop
async def test_a_browser_brings_its_key_as_a_subprotocol(monkeypatch: Any) -> None:
    monkeypatch.setenv("STREAMTRANS_TOKEN", SECRET)
    async with served() as server:
        url = server.url.replace("/translate", "/realtime/translations?model=a")
        offered = ["realtime", f"openai-insecure-api-key.{SECRET}", "openai-beta.realtime-v1"]
        async with connect(url, subprotocols=offered) as peer:
            assert peer.subprotocol == "realtime"
            assert json.loads(await peer.recv())["type"] == "session.created"
        async with translating(server.url) as connection:
            assert (await connection.recv()).type == "session.created"


@in_loop
async def test_an_error_that_ends_the_session_has_the_same_shape() -> None:
    """No policy of this fake engine waits for the whole sentence, though there is one of that name."""
    async with served() as server:
        url = server.url.replace("/translate", "/realtime/translations?model=a&policy=full")
        async with connect(url) as peer:
            (error,) = await rest(peer)
            assert error["type"] == "error" and error["error"]["code"] == "bad_policy"
            assert peer.close_code == 1008 and peer.close_reason == "bad_policy"


@in_loop
async def test_a_pause_completes_an_item() -> None:
    async with served() as server, transcribing(server.url) as connection:
        await append(connection, "one two. three.")
        completed: list[Any] = []
        events: list[Any] = []
        while len(completed) < 2:
            events.append(await connection.recv())
            if events[-1].type.endswith("transcription.completed"):
                completed.append(events[-1])
        assert [event.transcript for event in completed] == ["one two", "three"]
        assert all(event.usage.seconds > 0 for event in completed)
        kinds = [event.type.removeprefix("conversation.item.") for event in events]
        first = [
            "input_audio_buffer.speech_started",
            "input_audio_transcription.delta",
            "input_audio_transcription.delta",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "input_audio_transcription.completed",
        ]
        assert kinds[:6] == first
        assert {event.item_id for event in events[:6]} == {completed[0].item_id}
        second = next(e for e in events[6:] if e.type.endswith("committed"))
        assert second.previous_item_id == completed[0].item_id != completed[1].item_id
        deltas = [e.delta for e in events if e.type.endswith("transcription.delta")]
        assert deltas == ["one", " two", "three"]


@in_loop
async def test_without_turn_detection_the_client_ends_an_item() -> None:
    async with served() as server, transcribing(server.url, turn_detection=None) as connection:
        await append(connection, "one two. three")
        await connection.input_audio_buffer.commit()
        await connection.input_audio_buffer.commit()
        await append(connection, "four")
        await connection.input_audio_buffer.commit()
        events: list[Any] = []
        while sum(event.type.endswith("transcription.completed") for event in events) < 2:
            events.append(await connection.recv())
        completed = [e for e in events if e.type.endswith("transcription.completed")]
        assert [event.transcript for event in completed] == ["one two three", "four"]
        committed = [e.item_id for e in events if e.type.endswith("buffer.committed")]
        assert [event.item_id for event in completed] == committed
        errors = [event.error.code for event in events if event.type == "error"]
        assert errors == ["input_audio_buffer_commit_empty"]
        assert not any("speech_st" in event.type for event in events)
        assert (
            abs(completed[0].usage.seconds - len(speech("one two. three", 24_000)) / 48_000) < 0.01
        )


@in_loop
async def test_a_pause_before_a_commit_ends_an_item_of_its_own() -> None:
    """The client is ahead of what is heard: a commit must not take in what was over before it."""
    async with served() as server, transcribing(server.url) as connection:
        await append(connection, "one two. three")
        await connection.input_audio_buffer.commit()
        events: list[Any] = []
        while sum(event.type.endswith("transcription.completed") for event in events) < 2:
            events.append(await connection.recv())
        completed = [e for e in events if e.type.endswith("transcription.completed")]
        assert [event.transcript for event in completed] == ["one two", "three"]
        total = len(speech("one two. three", 24_000)) / 48_000
        assert abs(sum(event.usage.seconds for event in completed) - total) < 0.01


@in_loop
async def test_what_is_cleared_is_not_told() -> None:
    async with served() as server, transcribing(server.url, turn_detection=None) as connection:
        await append(connection, "one two")
        await connection.input_audio_buffer.clear()
        await append(connection, "three")
        await connection.input_audio_buffer.commit()
        events: list[Any] = []
        while not (events and events[-1].type.endswith("transcription.completed")):
            events.append(await connection.recv())
        assert events[-1].transcript == "three"
        deltas = [e for e in events if e.type.endswith("transcription.delta")]
        assert "".join(e.delta for e in deltas if e.item_id == events[-1].item_id) == "three"
        assert any(event.type == "input_audio_buffer.cleared" for event in events)


@in_loop
async def test_what_a_transcription_may_not_be_asked_for() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"type": "realtime"}, "session.type"),
        ({"type": "transcription", "include": ["x"]}, "session.include"),
    ]
    inputs: list[tuple[dict[str, Any], str]] = [
        ({"transcription": {"language": "de"}}, "transcription.language"),
        ({"transcription": {"prompt": "names"}}, "transcription.prompt"),
        ({"transcription": {"delay": "ages"}}, "transcription.delay"),
        ({"turn_detection": {"type": "semantic_vad"}}, "turn_detection.type"),
        ({"format": {"type": "audio/pcmu"}}, "format"),
        ({"format": {"type": "audio/pcm", "rate": 16000}}, "format"),
    ]
    for given, param in inputs:
        session = {"type": "transcription", "audio": {"input": given}}
        bad.append((session, f"session.audio.input.{param}"))
    async with served() as server, transcribing(server.url) as connection:
        for session, param in bad:
            await connection.send({"type": "session.update", "session": session})
            answer = await connection.recv()
            assert answer.type == "error" and answer.error.param == param, answer
        allowed = {"language": "en-US", "model": "any", "delay": "high"}
        session = {"type": "transcription", "audio": {"input": {"transcription": allowed}}}
        await connection.session.update(session=session)
        assert (await connection.recv()).session.audio.input.transcription.delay == "high"


@in_loop
async def test_raw_messages_hold_nothing_that_is_private() -> None:
    """The client takes an unknown type for an error."""
    async with served() as server:
        url = server.url.replace("/translate", "/realtime/translations?model=a")
        async with connect(url) as peer:
            for piece in pieces("one two. three."):
                event = {"type": "session.input_audio_buffer.append", "audio": piece}
                await peer.send(json.dumps(event))
            await peer.send(json.dumps({"type": "session.close"}))
            messages = await rest(peer)
    assert {m["type"] for m in messages} == {
        "session.created",
        "session.output_transcript.delta",
        "session.closed",
    }
    deltas = of_type(messages, "session.output_transcript.delta")
    assert all(set(m) == {"type", "event_id", "delta", "elapsed_ms"} for m in deltas)
