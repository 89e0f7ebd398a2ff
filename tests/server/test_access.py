"""Tokens, origins, addresses, rates, time: what a server lets in, and what it does to those who hold on to it."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from certificates import self_signed
from harness import SENTENCE, START, finish, get, in_loop, rest, send, served, started, until
from streamtrans_clients import connect as connect_client
from streamtrans_server import ConfigError
from streamtrans_server.access import Account, Accounts, origin_allowed
from streamtrans_server.app import TOKEN_VARIABLE
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streamtrans.messages import Target

SECRET, OTHER = "correct-horse-battery", "staple-staple-staple"
ANYONE = Account("anyone")
TOKENS = f"""
[[token]]
name = "lab"
token = "{SECRET}"
max_sessions = 1

[[token]]
name = "ward"
token = "{OTHER}"
"""


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    path = tmp_path / "tokens.toml"
    path.write_text(TOKENS)
    return str(path)


def bearing(url: str, token: str, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return connect(url, compression=None, additional_headers=headers, **options)


async def refused(connecting: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        await connecting
    return caught.value


@in_loop
async def test_only_who_has_a_token_comes_in(tokens: str) -> None:
    async with served(tokens_file=tokens) as server:
        for attempt in (
            connect(server.url),
            bearing(server.url, SECRET[:-1]),
            connect(f"{server.url}?access_token={'%CE%A9' * 20}"),
            connect(f"{server.url}?access_token="),
        ):
            error = await refused(attempt)
            assert error.response.status_code == 401
            assert error.response.headers["WWW-Authenticate"] == "Bearer"
        for attempt in (bearing(server.url, SECRET), connect(f"{server.url}?access_token={OTHER}")):
            async with attempt as peer:
                await send(peer, START, {"type": "text", "text": SENTENCE})
                assert json.loads(await peer.recv())["type"] == "ready"
                await send(peer, {"type": "end"})
                assert (await rest(peer))[-1]["type"] == "done"
        assert (await get(server.url, "/readyz"))[0] == 200
        assert 'refusals_total{reason="token"} 4' in (await get(server.url, "/metrics"))[2]


@in_loop
async def test_a_token_has_its_own_limit_and_its_own_sessions(tokens: str) -> None:
    async with served(tokens_file=tokens) as server, bearing(server.url, SECRET) as peer:
        await send(peer, {**START, "keep": True})
        key = json.loads(await peer.recv())["token"]
        assert (await refused(bearing(server.url, SECRET))).response.status_code == 429
        async with bearing(f"{server.url}?resume={key}&after=0", OTHER) as thief:
            assert (await rest(thief))[-1]["code"] == "resume_lost"
        async with bearing(f"{server.url}?resume={key}&after=0", SECRET) as own:
            assert json.loads(await own.recv())["type"] == "ready"


@in_loop
async def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET)
    async with served() as server:
        assert (await refused(connect(server.url))).response.status_code == 401
        async with connect_client(server.url, token=SECRET) as session:
            await session.end()
            assert len([event async for event in session]) == 1


def test_a_token_is_found_among_many_and_never_by_a_part_of_it(tokens: str) -> None:
    accounts = Accounts.load(tokens, None, ANYONE)
    assert accounts.find(OTHER) == Account("ward")
    assert accounts.find(SECRET) == Account("lab", max_sessions=1)
    for wrong in ("", SECRET[:-1], SECRET + " ", SECRET.upper(), "\ud800" * 20):
        assert accounts.find(wrong) is None
    assert Accounts.load("", None, ANYONE).find("whatever") == ANYONE


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "holds no token"),
        ("token = 3", "must hold"),
        ("[[token]]\nname = 'a'", "at least 16"),
        ("[[token]]\ntoken = 'aaaaaaaaaaaaaaaaaaaaa'", "needs a name"),
        ("[[token]]\nname = 'a'\ntoken = 'short'", "at least 16"),
        (
            "[[token]]\nname = 'a'\ntoken = 'aaaaaaaaaaaaaaaaaaaa'\nmax_session = 1",
            "unknown key max_session",
        ),
        (
            "[[token]]\nname = 'a'\ntoken = 'aaaaaaaaaaaaaaaaaaaa'\nmax_sessions = -1",
            "max_sessions = -1",
        ),
        ("[[token", "not a TOML file"),
        (TOKENS + TOKENS, "comes twice"),
    ],
)
def test_a_tokens_file_that_cannot_be_meant_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        Accounts.load(str(path), None, ANYONE)


@pytest.mark.parametrize(
    ("origin", "allowed", "lets_in"),
    [
        (None, (), True),
        ("https://here:8765", (), True),
        ("https://here", (), False),
        ("https://evil", (), False),
        ("null", (), False),
        ("https://friend", ("https://friend",), True),
        ("https://friend.evil", ("https://friend",), False),
        ("https://evil", ("*",), True),
    ],
)
def test_origins(origin: str | None, allowed: tuple[str, ...], lets_in: bool) -> None:
    assert origin_allowed(origin, "here:8765", allowed) is lets_in


@in_loop
async def test_headers_that_cannot_be_read_are_refused_by_name() -> None:
    async with served() as server:
        for headers in (
            [("Authorization", "Bearer one"), ("Authorization", "Bearer two")],
            [("Origin", "http://[")],
        ):
            with pytest.raises(InvalidStatus) as caught:
                async with connect(server.url, additional_headers=headers, compression=None):
                    pass
            assert caught.value.response.status_code == 400
        twice = [("Sec-WebSocket-Protocol", "realtime"), ("Sec-WebSocket-Protocol", "v1")]
        async with connect(server.url, additional_headers=twice, compression=None) as peer:
            await send(peer, START)
            assert json.loads(await peer.recv())["type"] == "ready"


@in_loop
async def test_a_page_from_elsewhere_is_refused() -> None:
    async with served(allowed_origins=["https://friend"]) as server:
        error = await refused(connect(server.url, origin="https://evil"))  # type: ignore[arg-type]
        assert error.response.status_code == 403
        for origin in ("https://friend", "http://" + urlsplit(server.url).netloc):
            async with connect(server.url, origin=origin):  # type: ignore[arg-type]
                pass


@in_loop
async def test_sessions_from_one_address_are_limited() -> None:
    async with served(max_sessions_per_address=1) as server:
        async with started(server.url):
            assert (await refused(connect(server.url))).response.status_code == 429
        await server.app.admission.emptied()
        async with started(server.url):
            pass


@in_loop
async def test_who_sends_too_fast_waits_and_loses_nothing() -> None:
    async with served(max_messages_per_second=50) as server, started(server.url) as peer:
        begin = time.monotonic()
        words = [f"w{number}" for number in range(90)]
        for word in words:
            await send(peer, {"type": "text", "text": word + " "})
        assert await finish(peer) == [word.upper() for word in words]
        assert time.monotonic() - begin > 0.6  # the first 50 pass at once


@in_loop
async def test_a_session_has_its_time() -> None:
    async with served(max_session_seconds=0.3) as server, started(server.url) as peer:
        talking = asyncio.create_task(chatter(peer))
        assert (await rest(peer))[-1]["code"] == "time_limit"
        talking.cancel()


async def chatter(peer: Any) -> None:
    while True:
        await send(peer, {"type": "text", "text": "word "})
        await asyncio.sleep(0.01)


async def dribble(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket that has begun its request and will not finish it."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET /v1/translate HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    return reader, writer


@in_loop
async def test_half_a_request_is_cut_off() -> None:
    async with served(handshake_timeout=0.2) as server:
        reader, writer = await dribble(server.url)
        async with started(server.url) as other:
            assert b"101" not in await reader.read()
            assert await finish(other) == []
        writer.close()


@in_loop
async def test_many_half_requests_keep_nobody_out() -> None:
    async with served(max_handshakes=5) as server:
        slow = [await dribble(server.url) for _ in range(20)]
        async with started(server.url) as peer:
            await send(peer, {"type": "text", "text": SENTENCE})
            assert await finish(peer) == SENTENCE.upper().split()
        assert len(server.app._handshakes._open) <= 5
        for _, writer in slow:
            writer.transport.abort()
        await until(lambda: not server.app._handshakes._open)


@in_loop
async def test_a_frame_byte_by_byte_counts_as_silence() -> None:
    async with served(idle_timeout=0.3) as server, started(server.url) as peer:
        peer.transport.write(b"\x81\xfe\x10\x00aaaa")  # a text frame of 4 kB begins
        closing = asyncio.create_task(peer.wait_closed())
        while not closing.done():
            peer.transport.write(b"x")
            await asyncio.sleep(0.01)
        await server.app.admission.emptied()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    return self_signed(tmp_path)


@in_loop
async def test_over_tls_and_back_again(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    trust = ssl.create_default_context(cafile=cert)
    async with served(tls_cert=cert, tls_key=key) as server:
        assert server.url.startswith("wss://")
        async with connect_client(server.url, policy="wait-1", ssl=trust) as session:
            await session.send_text("one two ")
            words = [(await anext(session)) for _ in range(4)]
            assert session._socket is not None
            session._socket.transport.abort()
            await session.send_text("three")
            await session.end()
            words += [event async for event in session]
            assert session.reconnects == 1
        assert [w.text for w in words if isinstance(w, Target)] == ["ONE", "TWO", "THREE"]


@in_loop
async def test_who_does_not_finish_the_tls_handshake_is_cut_off(
    certificate: tuple[str, str],
) -> None:
    cert, key = certificate
    async with served(tls_cert=cert, tls_key=key, handshake_timeout=0.2) as server:
        parts = urlsplit(server.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        assert await reader.read() == b""
        writer.close()


def test_half_of_a_certificate_is_named(tmp_path: Path, certificate: tuple[str, str]) -> None:
    from streamtrans_server import ServerConfig

    with pytest.raises(ConfigError, match="name both"):
        ServerConfig(tls_cert=certificate[0])


@in_loop
async def test_a_key_that_is_none_is_named(certificate: tuple[str, str]) -> None:
    cert, _ = certificate
    with pytest.raises(ConfigError, match="cert"):
        async with served(tls_cert=cert, tls_key=cert):
            pass
