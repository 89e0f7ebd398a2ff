"""What holds for every dialect: who is let in, what ends a session, and that nothing a client says hurts another."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_engine import FakeEngine
from fake_speech import speech
from harness import Served, in_loop, rest, served, small_socket, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamtrans_server.config import ServerConfig
from streamtrans_server.dialects import DIALECTS, NATIVE_PATH, Asked, Dialect
from streamtrans_server.failure import Failure
from streamtrans_server.offer import Offer
from test_fuzz import Aside, unhurt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode

from streamtrans.messages import (
    Audio,
    Changed,
    Done,
    FromServer,
    Lag,
    Marked,
    Message,
    Ready,
    Segment,
    Source,
    Target,
)

SECRET = "correct-horse-battery"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
QUERIES = {
    "/v1/realtime/translations": "model=any",
    "/v1/realtime": "intent=transcription",
    "/v1/listen": "encoding=linear16&sample_rate=24000&interim_results=true&vad_events=true",
    "/v1/simulstream": "policy=wait-2",
}
PATHS = pytest.mark.parametrize("path", QUERIES)
OFFER = Offer("en-fr", "en", "fr", ("text", "audio"), (16000, 24000), "wait-3")
TYPES = {
    "/v1/realtime/translations": {
        "error",
        "session.created",
        "session.updated",
        "session.closed",
        "session.input_transcript.delta",
        "session.output_transcript.delta",
    },
    "/v1/realtime": {
        "error",
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "input_audio_buffer.cleared",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    },
    "/v1/listen": {"Results", "SpeechStarted", "UtteranceEnd", "Metadata", "Error"},
    "/v1/simulstream": {None},
}


def test_there_is_a_test_for_every_dialect() -> None:
    assert set(QUERIES) == set(TYPES) == set(DIALECTS) - {NATIVE_PATH}


def at(server: Served, path: str) -> str:
    return f"{server.url.removesuffix(NATIVE_PATH)}{path}?{QUERIES[path]}"


async def refused(url: str, **options: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, **options)
    return caught.value


def each(check: Callable[[str], Any]) -> Callable[[str], None]:
    """A coroutine of a path as a test of all."""

    def run(path: str) -> None:
        in_loop(check)(path)

    run.__doc__ = check.__doc__
    return PATHS(run)


# who is let in


@each
async def test_a_token_is_needed_where_there_is_one(path: str) -> None:
    os.environ["STREAMTRANS_TOKEN"] = SECRET
    try:
        async with served() as server:
            error = await refused(at(server, path))
            assert error.response.status_code == 401
            for header in (f"Bearer {SECRET}", f"Token {SECRET}"):
                async with connect(at(server, path), additional_headers={"Authorization": header}):
                    pass
    finally:
        del os.environ["STREAMTRANS_TOKEN"]


@each
async def test_a_page_of_another_origin_stays_outside(path: str) -> None:
    async with served() as server:
        error = await refused(at(server, path), additional_headers={"Origin": "https://evil.org"})
        assert error.response.status_code == 403


@each
async def test_a_full_server_says_so_in_the_handshake(path: str) -> None:
    async with served(FakeEngine(max_sessions=1)) as server:
        async with connect(at(server, path)):
            error = await refused(at(server, path))
            assert error.response.status_code == 503
            assert error.response.headers["Retry-After"] == "1"
        await until(lambda: server.app.admission.taken == 0)
        async with connect(at(server, path)):
            pass


@each
async def test_a_server_that_only_reads_says_so(path: str) -> None:
    async with served(FakeEngine(kinds=("text",))) as server:
        error = await refused(at(server, path))
        assert error.response.status_code == 501
        assert b"no recogniser" in (error.response.body or b"")


@each
async def test_a_query_that_names_no_policy_is_refused(path: str) -> None:
    async with served() as server:
        error = await refused(at(server, path).replace("policy=wait-2", "") + "&policy=never")
        assert error.response.status_code == 400
        assert (error.response.body or b"").startswith(b"policy: ")


# what ends a session


@each
async def test_a_lost_connection_is_a_lost_session(path: str) -> None:
    async with served() as server:
        async with connect(at(server, path)) as peer:
            await peer.send(first_frame(path))
            await until(lambda: len(server.app.sessions) == 1)
            peer.transport.abort()
        await until(lambda: server.app.admission.taken == 0 and not server.engine.sessions)
        assert server.app.sessions == {}


@each
async def test_who_says_nothing_is_cut_off(path: str) -> None:
    async with served(idle_timeout=0.2, start_timeout=0.4) as server:
        async with connect(at(server, path)) as peer:
            assert last_words(path, await all_of(peer), peer) == "idle_timeout"


@each
async def test_a_server_that_drains_says_goodbye(path: str) -> None:
    async with served() as server, connect(at(server, path)) as peer:
        await peer.send(first_frame(path))
        await until(lambda: len(server.app.sessions) == 1)
        server.app._end_all(Failure("draining", "the server is shutting down"))
        assert last_words(path, await all_of(peer), peer) == "draining"
        assert peer.close_code == 1001


@each
async def test_an_engine_that_fails_is_named(path: str) -> None:
    async with served() as server, connect(at(server, path)) as peer:
        await peer.send(first_frame(path))
        await until(lambda: len(server.engine.sessions) == 1)
        server.engine.step = broken  # type: ignore[method-assign]
        await peer.send(sound_frame(path, speech("one.", 24_000)))
        assert last_words(path, await all_of(peer), peer) == "internal"


def broken(session: object) -> None:
    raise RuntimeError("the whole engine fails")


@in_loop
async def test_who_does_not_read_answers_is_asked_no_more() -> None:
    """Replies to bad events are made without the session, whose backlog so cannot bound them."""
    options = {"slow_reader_timeout": 0.5, "write_buffer_bytes": 2048, "socket_buffer_bytes": 4096}
    async with served(**options) as server:
        url = at(server, "/v1/realtime/translations")
        async with connect(url, sock=small_socket(url), max_queue=1, close_timeout=0.2) as peer:
            flood = asyncio.create_task(send_for_ever(peer))
            await until(lambda: bool(server.app._connections))
            (connection,) = server.app._connections
            await until(lambda: connection._unread)
            held = len(connection._outbox._held)
            assert held < 200
            await until(lambda: connection.failure is not None)
            assert connection.failure is not None and connection.failure.code == "slow_reader"
            flood.cancel()
        await until(lambda: server.app.admission.taken == 0)


async def send_for_ever(peer: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await peer.send('{"type":"nonsense"}')


async def all_of(peer: ClientConnection) -> list[dict[str, Any]]:
    return await rest(peer)


def last_words(path: str, messages: list[dict[str, Any]], peer: ClientConnection) -> str:
    """The code of the error that ended the session, as its dialect says it."""
    if path == "/v1/simulstream":
        return (peer.close_reason or "").partition(":")[0]
    last = messages[-1]
    code = last["variant"] if path == "/v1/listen" else last["error"]["code"]
    assert peer.close_reason == code
    return str(code)


def first_frame(path: str) -> str:
    return '{"sample_rate": 24000}' if path == "/v1/simulstream" else '{"type": "KeepAlive"}'


def sound_frame(path: str, sound: bytes) -> str | bytes:
    if "realtime" not in path:
        return sound
    kind = "session." if path.endswith("translations") else ""
    audio = base64.b64encode(sound).decode()
    return json.dumps({"type": f"{kind}input_audio_buffer.append", "audio": audio})


# anything may come

WORDS = st.text(alphabet='ab." \n\u00e9\U0001f600\ud800', max_size=12)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["audio", "input", "output", "language"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
CONFIGURED = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["transcription", "translation"]) | ODD,
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.dictionaries(
                    st.sampled_from(
                        ["transcription", "turn_detection", "noise_reduction", "format"]
                    ),
                    st.none() | st.just({"model": "a", "delay": "low"}) | ODD,
                    max_size=2,
                ),
                "output": st.just({"language": "fr"}) | ODD,
            },
        )
        | ODD,
    },
)
KINDS = st.sampled_from(
    [
        *("session.update", "session.close", "session.input_audio_buffer.append"),
        *("input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"),
        *("KeepAlive", "Finalize", "CloseStream", "Configure"),
    ]
)
SOUND = st.sampled_from([speech("one two.", 24_000), speech("three", 24_000)[:-1], b"", b"\1"])
EVENTS = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "audio": SOUND.map(lambda data: base64.b64encode(data).decode()) | ODD,
        "session": CONFIGURED,
        "event_id": WORDS,
    },
) | st.fixed_dictionaries(
    {},
    optional={
        "sample_rate": st.sampled_from([16000, 24000]) | ODD,
        "target_lang": st.just("fr") | ODD,
        "metrics_metadata": st.just({"wav_name": "a"}) | ODD,
        "end_of_stream": ODD,
    },
)
FRAMES: st.SearchStrategy[str | bytes] = st.one_of(
    EVENTS.map(json.dumps),
    EVENTS.map(json.dumps),
    EVENTS.map(lambda event: json.dumps(event)[:-1]),
    ODD.map(json.dumps),
    SOUND,
    st.binary(max_size=30),
)
NUMBERS = st.floats(0, 1e9, allow_nan=False)
HEARD = st.text(alphabet='ab."\u00e9\u202f\U0001f600', min_size=1, max_size=12)
TOLD: st.SearchStrategy[FromServer] = st.one_of(
    st.builds(Source, st.just(1), HEARD, st.just(0), NUMBERS, st.none() | NUMBERS, st.none()),
    st.builds(Source, st.just(1), HEARD, st.just(0), NUMBERS, NUMBERS, NUMBERS),
    st.builds(Target, st.just(1), HEARD, st.just(0), st.just(1), NUMBERS),
    st.builds(Segment, st.just(1), st.just(1), st.just(1), st.none() | NUMBERS),
    st.sampled_from([Lag(1, 2000.0), Changed(1, "wait-3", 0)]),
)


def dialect(path: str) -> Dialect:
    query = dict(pair.split("=") for pair in QUERIES[path].split("&"))
    return DIALECTS[path](Asked(query, OFFER, ServerConfig()))


@PATHS
@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=st.lists(FRAMES | TOLD, max_size=20))
def test_any_frames_and_events_in_any_order(path: str, steps: list[Any]) -> None:
    """A frame becomes messages, answers or a named failure; events become frames of documented types."""
    spoken = dialect(path)
    ready = Ready(1, "0", "en-fr", "en", "fr", "audio", "wait-3", {})
    answers = spoken.tell([ready], 0.0)
    marks: list[str] = []
    for step in steps:
        if isinstance(step, Message) and not isinstance(step, Audio):
            answers += spoken.tell([step], 1.0)
            continue
        opcode = Opcode.BINARY if isinstance(step, bytes) else Opcode.TEXT
        frame = step if isinstance(step, bytes) else step.encode(errors="replace")
        try:
            for said in spoken.hear(opcode, frame):
                if isinstance(said, bytes):
                    answers.append(said)
                elif mark := getattr(said, "id", None):
                    marks.append(mark)
        except Failure as failure:
            answers += spoken.farewell(failure)
            assert len(spoken.reason(failure).encode()) <= 123
            break
    answers += spoken.tell([*(Marked(1, mark) for mark in marks), Done(1, 0, 0)], 2.0)
    assert {json.loads(answer).get("type") for answer in answers} <= TYPES[path]


@pytest.fixture(scope="module")
def aside() -> Iterator[Aside]:
    aside = Aside()
    aside.wait(aside.open())
    yield aside
    aside.close()


async def conversation(aside: Aside, path: str, frames: list[str | bytes]) -> None:
    async with connect(at(aside.server, path), compression=None, close_timeout=0.5) as peer:
        reading = asyncio.create_task(all_of(peer))
        with contextlib.suppress(ConnectionClosed):
            for frame in frames:
                await peer.send(frame)
        await asyncio.sleep(0)
        if len(frames) % 2:
            peer.transport.abort()
        else:
            await peer.close()
        for message in await reading:
            assert message.get("type") in TYPES[path]
    await unhurt(aside.witness)


@PATHS
@settings(
    max_examples=max(EXAMPLES // 4, 1),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(frames=st.lists(FRAMES, max_size=12))
def test_nobody_else_notices(
    aside: Aside, caplog: pytest.LogCaptureFixture, path: str, frames: list[str | bytes]
) -> None:
    caplog.clear()
    aside.wait(conversation(aside, path, frames))
    worst = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [r.getMessage() for r in worst if not r.name.endswith("websockets")] == []
    aside.wait(asyncio.wait_for(settled(aside), 20))


async def settled(aside: Aside) -> None:
    await until(lambda: aside.server.app.admission.taken == 1)
    await until(lambda: len(aside.server.engine.sessions) == 1)
