"""`streamtrans mic` as a user runs it: a virtual microphone, real sockets, a scripted server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webvtt
from scripted_server import in_loop
from scripted_site import Site
from streamtrans_clients.audio_session import AudioSession, Line
from streamtrans_clients.dial import Dial
from streamtrans_clients.errors import SessionFailed
from streamtrans_clients.microphone import Microphone, MicrophoneError, level
from virtual_microphone import RATE, VirtualMicrophone, virtual_microphone

from streamtrans.messages import Done, Event, Target

TESTS = Path(__file__).parents[1]


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
    command = [sys.executable, str(TESTS / "server" / "serve_fake.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("listening on ").strip()
        url = address.replace("ws://", "http://").removesuffix("v1/translate")
        with client(microphone, url, tmp_path) as one:
            assert one.process.wait(20) == 2
            assert "streamtrans: unsupported_kind: this server takes text" in one.output
            assert "Traceback" not in one.output
        server.terminate()


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
    found: list[Event | Line] = []
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        session = AudioSession(Dial(address), "en", "fr", RATE, None, 10.0)
        site.drop_after = after

        async def talk() -> None:
            for frame in frames:
                session.hear(frame)
                await asyncio.sleep(0.001)
            session.end()

        talking = asyncio.create_task(talk())
        async for event in session.events():
            found.append(event)
        await talking
    assert site.pcm == b"".join(frames)
    words = [event for event in found if isinstance(event, Target)]
    assert [word.text for word in words] == [f"WORD{number}" for number in range(1, 21)]
    assert [word.index for word in words] == list(range(20))
    events = [event for event in found if not isinstance(event, Line)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], Done) and events[-1].target_words == 20
    assert [line.open for line in found if isinstance(line, Line)] == [True, False, True]


@in_loop
async def test_patience_ends() -> None:
    site = Site("audio")
    with site.serving() as url:
        address = url.replace("http", "ws") + "v1/translate"
        session = AudioSession(Dial(address), "en", "fr", RATE, None, 0.3)
        with pytest.raises(SessionFailed, match="connection_lost: no way back"):
            async for event in session.events():
                if isinstance(event, Line) and event.open:
                    site.drop(closed=True)
