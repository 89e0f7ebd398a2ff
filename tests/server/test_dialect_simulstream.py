"""simulstream's websocket, spoken by its own client, and its scorers on the log this server writes for them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import wave
from pathlib import Path
from typing import Any

import pytest
from fake_speech import speech
from harness import in_loop, served
from streamtrans_server.dialects.simulstream_log import SimulstreamLog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TEXT = "one two three. four five."
CLIENT, STATS, LATENCY = (
    f"simulstream.{name}"
    for name in ("client.wav_reader_client", "metrics.stats", "metrics.score_latency")
)


async def run(module: str, *arguments: str) -> str:
    """What a program of simulstream prints. Its own warnings are its own."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    return out.decode()


def record(folder: Path, *texts: str) -> str:
    """A WAV file of each text, and the list of them that the client wants."""
    for number, text in enumerate(texts):
        with wave.open(str(folder / f"talk{number}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(speech(text))
    listed = folder / "list.txt"
    listed.write_text("".join(f"talk{number}.wav\n" for number in range(len(texts))))
    return str(listed)


@in_loop
async def test_its_client_streams_files_and_its_scorers_read_the_log(tmp_path: Path) -> None:
    listed = record(tmp_path, TEXT, "six seven.")
    log = tmp_path / "metrics.jsonl"
    async with served(simulstream_log=str(log)) as server:
        uri = server.url.replace("/translate", "/simulstream?policy=wait-2")
        arguments = ("--uri", uri, "--wav-list-file", listed)
        await run(CLIENT, *arguments, "--src-lang", "en", "--tgt-lang", "fr")

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first, second = (
        line["id"] for line in lines if "metadata" in line and line["metadata"]["wav_name"]
    )
    words = {
        name: [w for w in _of(lines, name) for w in w["generated_tokens"]]
        for name in (first, second)
    }
    assert words == {first: TEXT.replace(".", "").upper().split(), second: ["SIX", "SEVEN"]}
    for name, text in ((first, TEXT), (second, "six seven.")):
        audio = [line["total_audio_processed"] for line in _of(lines, name)]
        assert audio == sorted(audio)
        assert audio[-1] >= len(speech(text)) / 32_000
        assert all(line["computation_time"] >= 0 for line in _of(lines, name))

    config, spans, reference = (tmp_path / name for name in ("eval.yaml", "spans.yaml", "ref.txt"))
    config.write_text("detokenizer_type: simuleval\nlatency_unit: word\n")
    spans.write_text(
        "- {wav: talk0.wav, offset: 0.0, duration: 0.46}\n"
        "- {wav: talk0.wav, offset: 1.04, duration: 0.3}\n"
        "- {wav: talk1.wav, offset: 0.0, duration: 0.3}\n"
    )
    reference.write_text("ONE TWO THREE\nFOUR FIVE\nSIX SEVEN\n")
    scored = ("--eval-config", str(config), "--log-file", str(log))
    stats = json.loads((await run(STATS, *scored)).removeprefix("Stats: "))
    assert stats["normalized_erasure"]["value"] == 0.0
    assert 0 < stats["real_time_factor"]["value"] < 10
    more = ("--audio-definition", str(spans), "--reference", str(reference))
    printed = await run(LATENCY, *scored, *more, "--scorer", "stream_laal")
    match = re.search(r"ideal_latency=([\d.]+), computational_aware_latency=([\d.]+)", printed)
    assert match is not None, printed
    assert 0 < float(match[1]) < float(match[2])


def _of(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["id"] == name and "metadata" not in line]


@in_loop
async def test_increments_join_to_the_translation() -> None:
    async with served() as server, connect(_url(server.url)) as peer:
        await peer.send(json.dumps({"sample_rate": 48000, "target_lang": "fr", "unknown": 1}))
        await peer.send(speech(TEXT, 48000))
        await peer.send(json.dumps({"end_of_stream": True}))
        messages, _, code = await rest(peer)
        assert messages[-1] == {"end_of_processing": True}
        assert all(message["deleted"] == "" for message in messages[:-1])
        assert "".join(m["new"] for m in messages[:-1]) == TEXT.replace(".", "").upper()
        assert code == 1000


@in_loop
async def test_a_stream_may_begin_without_a_word_about_it() -> None:
    async with served() as server, connect(_url(server.url)) as peer:
        await peer.send(speech("one two."))
        await peer.send('{"end_of_stream": true}')
        messages, _, _ = await rest(peer)
        assert "".join(message.get("new", "") for message in messages) == "ONE TWO"


@pytest.mark.parametrize(
    ("frames", "code", "named"),
    [
        (['{"sample_rate": 12345}'], 1008, "bad_rate: "),
        (['{"sample_rate": "16000"}'], 1007, "bad_message: "),
        (['{"target_lang": "de"}'], 1008, "unsupported_language: this server translates en to fr"),
        (["{"], 1007, "bad_json: "),
        ([b"\0\0", '{"sample_rate": 16000}'], 1002, "bad_order: "),
        (['{"end_of_stream": true}', b"\0\0"], 1002, "bad_order: "),
        (['{"x": "' + "a" * 20_000 + '"}'], 1009, "too_large: "),
    ],
)
def test_the_close_frame_names_what_is_wrong(frames: list[Any], code: int, named: str) -> None:
    @in_loop
    async def run() -> None:
        async with served() as server, connect(_url(server.url)) as peer:
            server.engine.sessions.clear()
            for frame in frames:
                await peer.send(frame)
            messages, reason, closed = await rest(peer)
            assert (closed, reason[: len(named)]) == (code, named)
            assert messages == []

    run()


def test_a_log_that_cannot_be_written_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = SimulstreamLog(str(tmp_path))  # a folder
    log.begin({"wav_name": "a.wav"})
    log.heard(100)
    log.written(["a"], 1.0)
    log.end()
    (record,) = caplog.records
    assert record.getMessage().startswith("simulstream_log_failed error=[Errno 21]")


def test_a_stream_without_a_name_is_not_logged(tmp_path: Path) -> None:
    """The scorers stop at a line that belongs to no recording."""
    path = tmp_path / "log"
    for metadata in ({}, {"wav_name": 3}):
        log = SimulstreamLog(str(path))
        log.begin(metadata)
        log.written(["a"], 1.0)
        log.end()
    assert not path.exists()


def _url(url: str) -> str:
    return url.replace("/translate", "/simulstream")


async def rest(peer: ClientConnection) -> tuple[list[dict[str, Any]], str, int | None]:
    messages = []
    try:
        while True:
            messages.append(json.loads(await peer.recv()))
    except ConnectionClosed:
        return messages, peer.close_reason or "", peer.close_code
