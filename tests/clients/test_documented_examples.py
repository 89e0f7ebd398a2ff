"""Every example of docs/clients.md, run as it stands."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from streamtrans_clients import Refused, SessionFailed, connect, open_sync
from streamtrans_clients.captions import CaptionFile
from streamtrans_clients.recording import Recording

from streamtrans.messages import Changed, Draft, Source, Target

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "server"))

from fake_speech import speech  # noqa: E402  (the path comes first)
from harness import in_loop, served  # noqa: E402

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES: dict[str, Any] = {
    "asyncio": asyncio,
    "ssl": ssl,
    "connect": connect,
    "open_sync": open_sync,
    "Refused": Refused,
    "SessionFailed": SessionFailed,
    "Source": Source,
    "Target": Target,
    "Recording": Recording,
    "CaptionFile": CaptionFile,
    "Changed": Changed,
    "Draft": Draft,
}
tried: set[str] = set()


def example(name: str) -> Any:
    """The function of this name, from the page."""
    (code,) = [code for code in EXAMPLES if re.search(rf"def {name}\(", code)]
    names = dict(NAMES)
    exec(compile(code, f"docs/clients.md: {name}", "exec"), names)
    tried.add(name)
    return names[name]


GREETING = "GOOD MORNING, AND THANK YOU ALL FOR COMING.".split()


@in_loop
async def test_a_text() -> None:
    async with served() as server:
        assert await example("translate")(server.url) == GREETING
        assert await asyncio.to_thread(example("translate_plainly"), server.url) == GREETING


@in_loop
async def test_words_as_they_are_said() -> None:
    async def words() -> AsyncIterator[str]:
        for word in ("one", "two", "three"):
            yield word

    shown: list[str] = []
    async with served() as server:
        await example("interpret")(server.url, words(), shown.append)
    assert shown == ["ONE", "TWO", "THREE"]


@in_loop
async def test_what_may_come_next() -> None:
    async def words() -> AsyncIterator[str]:
        for word in ("one", "two", "three", "four"):
            yield word
            await asyncio.sleep(0.3)

    shown: list[tuple[str, str]] = []
    async with served() as server:
        await example("foresee")(server.url, words(), lambda *both: shown.append(both))
    assert ("ONE", "TWO? THREE?") in shown


@in_loop
async def test_a_recording(tmp_path: Path) -> None:
    samples = np.frombuffer(speech("one two three. four."), "<i2")
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    async with served() as server:
        await example("subtitles")(server.url, tmp_path / "a.wav", tmp_path / "a.srt")
    cues = (tmp_path / "a.srt").read_text().split("\n\n")
    assert [cue.split("\n")[2] for cue in cues if cue] == ["ONE TWO THREE", "FOUR"]


@in_loop
async def test_speech() -> None:
    async with served() as server:
        found = [
            word async for word in example("hear")(server.url, speech("one two. three."), 16000)
        ]
    assert [text for _, _, text in found] == ["one", "two", "three"]
    assert all(begin < end for begin, end, _ in found)


@in_loop
async def test_clocks_pauses_and_policies() -> None:
    async with served() as server:
        delays = await example("delays")(server.url)
        assert len(delays) == 3 and all(0 <= delay < 20_000 for delay in delays)
        kinds = await example("with_pause")(server.url)
        assert kinds == [
            *["Source"] * 3,
            *["Target"] * 3,
            *("Segment", "Marked"),
            *["Source"] * 3,
            *["Target"] * 3,
            *("Segment", "Done"),
        ]
        assert await example("hurry")(server.url) == ["wait-2"]


@in_loop
async def test_a_server_that_says_no() -> None:
    async with served(max_sessions=1, retry_after=1) as server:
        async with connect(server.url):
            waiting = asyncio.create_task(example("patiently")(server.url))
            while not server.app.metrics.refusals.labels("full")._value.get():
                await asyncio.sleep(0.01)
        assert len(await waiting) == 16


@in_loop
async def test_a_connection_that_breaks() -> None:
    async with served() as server:

        async def cut() -> None:
            for connection in server.app._connections:
                connection._socket.transport.abort()

        words, reconnects = await example("through_thick_and_thin")(server.url, cut)
    assert words == "IT GOES ON AS IF NOTHING HAD HAPPENED".split()
    assert reconnects == 1


@in_loop
async def test_over_tls(tmp_path: Path) -> None:
    import shutil

    from certificates import self_signed

    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = self_signed(tmp_path)
    async with served(tls_cert=cert, tls_key=key) as server:
        assert await example("safely")(server.url, cert) == "en-fr"


def test_none_was_left_out() -> None:
    """Runs last: all examples of the page are in a test above."""
    assert len(EXAMPLES) == len(tried) > 8
