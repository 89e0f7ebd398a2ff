"""`streamtrans mic` as a user runs it: a virtual microphone, real sockets, a scripted server."""

from __future__ import annotations

import asyncio
import functools
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webvtt
from rich.console import Console
from scripted_server import in_loop
from scripted_site import Site
from streamtrans_clients import SessionFailed, connect
from streamtrans_clients.listen import listen
from streamtrans_clients.microphone import Microphone, MicrophoneError, level
from streamtrans_clients.session import Line
from streamtrans_clients.spool import Spool
from virtual_microphone import RATE, VirtualMicrophone, virtual_microphone

from streamtrans.messages import Done, Target

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "server"))

from fake_speech import PAUSE_MS, STEP_MS, WORD_MS  # noqa: E402
from fake_speech import speech as spoken  # noqa: E402


@pytest.fixture
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("pulse")) as one:
        yield one


class Client:
    """The command in a process of its own; what it prints is in `output`."""

    def __init__(self, microphone: VirtualMicrophone, url: str, folder: Path, *more: str) -> None:
        self._file = folder / "output.txt"
        address = url.replace("http://", "ws://") + "v1/translate"
        command = [sys.executable, "-m", "streamtrans", "mic", "--url", address, *more]
        with self._file.open("w") as file:
            self.process = subprocess.Popen(
                command, env=microphone.environment, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return self._file.read_text()

    def finish(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0, self.output


@contextmanager
def client(microphone: VirtualMicrophone, url: str, folder: Path, *more: str) -> Iterator[Client]:
    one = Client(microphone, url, folder, "--device", "pulse", *more)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def speech(folder: Path, seed: int, seconds: float = 2.0) -> tuple[Path, bytes]:
    """A file of noise and its samples: any lost, doubled or bent sample shows."""
    samples = np.random.default_rng(seed).integers(-32768, 32768, int(RATE * seconds), np.int16)
    path = folder / f"speech{seed}.wav"
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path, samples.tobytes()


def test_every_sample_arrives_and_the_captions_are_written(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    site = Site("audio")
    path, pcm = speech(tmp_path, 1)
    srt, vtt = tmp_path / "talk.srt", tmp_path / "talk.vtt"
    files = ("--save", str(srt), "--save", str(vtt))
    with site.serving() as url, client(microphone, url, tmp_path, *files) as one:
        until(lambda: len(site.pcm) > 0, "the first frame")
        microphone.say(path)
        until(lambda: pcm in site.pcm, "all samples, as they are")
        one.finish()
        assert "listening: en-fr at 16000 Hz" in one.output
        assert "WORD1 WORD2 WORD3" in one.output
    assert site.starts == [
        {"type": "start", "version": 1, "source": "en", "target": "fr", "kind": "audio"}
        | {"keep": True, "rate": RATE}
    ]
    for caption in (webvtt.from_srt(str(srt)), webvtt.read(str(vtt))):
        assert caption[0].text.startswith("WORD1 WORD2")


def test_a_cut_connection_and_a_lost_server_lose_no_sound(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    site = Site("audio")
    first, pcm = speech(tmp_path, 1)
    second, more = speech(tmp_path, 2)
    with site.serving() as url, client(microphone, url, tmp_path) as one:
        until(lambda: len(site.pcm) > 0, "the first frame")
        talking = subprocess.Popen(
            ["paplay", "--device=mic", str(first)], env=microphone.environment
        )
        heard = len(site.pcm)
        until(lambda: len(site.pcm) > heard + 16000, "half a second of speech")
        site.drop()
        assert talking.wait(20) == 0
        until(lambda: pcm in site.pcm, "all samples over the cut")
        assert len(site.sessions) == 1
        site.drop(forget=True, closed=True)
        until(lambda: "what you say is kept" in one.output, "the loss to be told")
        microphone.say(second)
        site.reopen()
        until(lambda: more in site.sessions[-1].pcm, "what was said while the server was away")
        assert len(site.sessions) == 2
        one.finish()


def test_an_unplugged_microphone_is_opened_again(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    site = Site("audio")
    path, pcm = speech(tmp_path, 3, 1.0)
    with site.serving() as url, client(microphone, url, tmp_path) as one:
        until(lambda: len(site.pcm) > 0, "the first frame")
        microphone.unplug()
        until(lambda: "the microphone is gone" in one.output, "the loss to be told")
        microphone.plug()
        until(lambda: "the microphone is back" in one.output, "the return to be told")
        microphone.say(path)
        until(lambda: pcm in site.pcm, "all samples after the return")
        one.finish()
        assert len(site.sessions) == 1


def test_a_server_that_only_reads_says_so(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    """Our own server: one line with the name of the error, no traceback."""
    with our_server("0", "deaf") as (url, _), client(microphone, url, tmp_path) as one:
        assert one.process.wait(20) == 2
        assert "streamtrans: unsupported_kind: this server takes text" in one.output
        assert "Traceback" not in one.output


@contextmanager
def our_server(port: str = "0", *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Our server on the fake engine: its address and its process."""
    command = [sys.executable, str(TESTS / "server" / "serve_fake.py"), "0", port, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            yield address.replace("ws://", "http://").removesuffix("v1/translate"), server
        finally:
            server.terminate()


def test_captions_appear_of_what_is_said_even_when_the_server_is_killed(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    """Our server, with an ear that needs no model; it dies in the middle of a sentence."""
    path, srt = tmp_path / "words.wav", tmp_path / "talk.srt"
    text = "one two three. four five six seven eight nine. ten."
    sound = bytes(RATE) + spoken(text)
    soundfile.write(path, np.frombuffer(sound, np.int16), RATE, subtype="PCM_16")
    with our_server() as (url, first):
        port = url.rstrip("/").rsplit(":", 1)[1]
        with client(microphone, url, tmp_path, "--save", str(srt), "--policy", "wait-1") as one:
            until(lambda: "listening" in one.output, "the session")
            talking = subprocess.Popen(
                ["paplay", "--device=mic", str(path)], env=microphone.environment
            )
            until(lambda: "ONE TWO THREE\n" in one.output, "the first sentence")
            first.kill()
            first.wait(20)
            until(lambda: "what you say is kept" in one.output, "the loss to be told")
            with our_server(port):
                until(lambda: "FOUR FIVE SIX SEVEN EIGHT NINE\n" in one.output, "the second")
                assert talking.wait(20) == 0
                until(lambda: "\nTEN\n" in one.output, "the third")
                one.finish()
    cues = webvtt.from_srt(str(srt))
    assert [cue.text for cue in cues] == [
        *("ONE TWO THREE", "FOUR FIVE SIX SEVEN EIGHT NINE", "TEN")
    ]
    begins = [float(cue.start.rpartition(":")[2].replace(",", ".")) for cue in cues]
    word, pause = (WORD_MS + STEP_MS) / 1000, 2 * PAUSE_MS / 1000
    third, ninth = (
        2 * word,
        3 * word + pause + 5 * word,
    )  # after the first, until the next cue in 1 s
    assert [begin - begins[0] for begin in begins[1:]] == pytest.approx(
        [third + 1, ninth + 1], abs=0.05
    )


def test_the_devices_are_listed_and_a_wrong_one_has_a_name(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    listed = Client(microphone, "http://unused/", tmp_path, "--list")
    assert listed.process.wait(20) == 0
    assert "pulse" in listed.output
    site = Site("audio")
    with site.serving() as url:
        wrong = Client(microphone, url, tmp_path, "--device", "no such thing")
        assert wrong.process.wait(20) == 2
        assert "'no such thing' does not open at 16000 Hz" in wrong.output


def test_without_sounddevice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MicrophoneError, match=r"pip install streamtrans\[mic\]"):
        Microphone(None, RATE).open()
    with pytest.raises(MicrophoneError, match="11025: a server takes 8000"):
        Microphone(None, 11025)


def test_the_level_is_of_the_loudest_sample() -> None:
    assert level(np.array([0, -32768, 5], np.int16).tobytes()) == 0.0
    assert level(np.array([3277], np.int16).tobytes()) == pytest.approx(-20, abs=0.01)
    assert level(bytes(10)) == level(b"") == -100.0


@pytest.mark.parametrize("after", [1, 3, 7, 20, 33])
@in_loop
async def test_frames_and_events_are_whole_however_the_connection_breaks(after: int) -> None:
    site = Site("audio")
    frames = [bytes([number] * 320) for number in range(100)]
    lines: list[Line] = []
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        async with connect(address, kind="audio", rate=RATE, on_line=lines.append) as session:
            site.drop_after = after

            async def talk() -> None:
                for frame in frames:
                    await session.send_audio(frame)
                    await asyncio.sleep(0.001)
                await session.end()

            talking = asyncio.create_task(talk())
            events = [event async for event in session]
            await talking
    assert site.pcm == b"".join(frames)
    words = [event for event in events if isinstance(event, Target)]
    assert [word.text for word in words] == [f"WORD{number}" for number in range(1, 21)]
    assert [word.index for word in words] == list(range(20))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], Done) and events[-1].target_words == 20
    assert [line.open for line in lines] == [False, True]


@in_loop
async def test_leaving_ends_the_attempts_to_come_back() -> None:
    site = Site("audio")
    lines: list[Line] = []
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        async with connect(address, kind="audio", rate=RATE, on_line=lines.append) as session:
            reading = asyncio.create_task(anext(session))
            site.drop(closed=True)
            while not lines:
                await asyncio.sleep(0.01)
            await session.abort()
            site.reopen()
            with pytest.raises(SessionFailed, match="the session was left"):
                await asyncio.wait_for(reading, 5)
    assert [line.open for line in lines] == [False]


class Device:
    """sounddevice, whose PortAudio starts again only at the third attempt."""

    PortAudioError = OSError

    def __init__(self) -> None:
        self.starts = 0

    def _terminate(self) -> None:
        if self.starts:
            raise self.PortAudioError("not initialized")

    def _initialize(self) -> None:
        self.starts += 1
        if self.starts < 3:
            raise self.PortAudioError("no sound server")


@in_loop
async def test_a_microphone_waits_for_portaudio_to_start_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device, opened = Device(), []
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr("streamtrans_clients.microphone.AGAIN", 0.01)
    microphone = Microphone(None, RATE)
    monkeypatch.setattr(microphone, "open", lambda: opened.append(device.starts))
    await microphone._open_again()
    assert opened == [3]


class Broken(Microphone):
    """One frame, then an error that nobody foresaw."""

    def open(self) -> None:
        """There is no device."""

    async def frames(self) -> AsyncIterator[bytes | None]:
        yield bytes(3200)
        raise MicrophoneError("it burns")


@in_loop
async def test_a_recording_that_fails_ends_the_session_and_is_told() -> None:
    site = Site("audio")
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        opening = functools.partial(connect, address, kind="audio", rate=RATE)
        with pytest.raises(MicrophoneError, match="it burns"):
            await listen(opening, Broken(None, RATE), [], Console(quiet=True))
    assert site.pcm == bytes(3200)


@in_loop
async def test_patience_ends() -> None:
    site = Site("audio")
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        async with connect(address, kind="audio", rate=RATE, patience=0.3) as session:
            site.drop(closed=True)
            with pytest.raises(SessionFailed, match="connection_lost: no way back"):
                async for _ in session:
                    pass


@in_loop
async def test_what_waits_too_long_is_given_up_oldest_first() -> None:
    """Ten minutes and two seconds without anybody who takes it."""
    spool = Spool(8000)
    for second in range(602):
        spool.put(bytes([second % 256]) * 16_000)
    spool.end()
    assert spool.given_up == 2.0
    left = [frame async for frame in spool]
    assert [frame[0] for frame in left] == [second % 256 for second in range(2, 602)]
