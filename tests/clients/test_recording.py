"""Sound files as a session takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamtrans_clients.recording import PIECE_MS, Recording, RecordingError

SHIPPED = Path(__file__).parents[1] / "data" / "speech" / "audio" / "013090147.opus"


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def heard(recording: Recording) -> np.ndarray:
    return np.frombuffer(b"".join(recording.pieces()), "<i2")


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_sixteen_bits_come_out_as_they_are(tmp_path: Path, name: str) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 22_050, np.int16)
    soundfile.write(tmp_path / name, samples, 22_050, subtype="PCM_16")
    recording = Recording(tmp_path / name)
    assert recording.rate == 22_050
    assert np.array_equal(heard(recording), samples)
    sizes = {len(piece) for piece in recording.pieces()}
    assert max(sizes) == 2 * 22_050 * PIECE_MS // 1000 and len(sizes) <= 2


def test_channels_are_mixed(tmp_path: Path) -> None:
    left, right = tone(48_000), tone(48_000, hertz=1000)
    soundfile.write(tmp_path / "a.wav", np.stack((left, right), 1), 48_000, subtype="FLOAT")
    recording = Recording(tmp_path / "a.wav")
    assert recording.rate == 48_000
    assert heard(recording) == pytest.approx((left + right) / 2 * 32768, abs=1)


@pytest.mark.parametrize("rate", [11_025, 96_000])
def test_a_rate_that_no_server_takes_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate, 2.0), rate)
    recording = Recording(tmp_path / "a.wav")
    samples = heard(recording)
    assert recording.rate == 16_000
    assert len(samples) == pytest.approx(32_000, abs=2)
    middle = slice(1000, 31_000)
    assert samples[middle] == pytest.approx(tone(16_000, 2.0)[middle] * 32768, abs=40)


def test_what_is_louder_than_full_scale_is_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 3 * tone(16_000), 16_000, subtype="FLOAT")
    samples = heard(Recording(tmp_path / "a.wav"))
    assert (samples.min(), samples.max()) == (-32768, 32767)
    assert np.sign(samples[18:36]).tolist() == np.sign(tone(16_000)[18:36]).tolist()


def test_opus_is_read() -> None:
    expected, _ = soundfile.read(SHIPPED, dtype="int16")
    assert heard(Recording(SHIPPED)) == pytest.approx(expected, abs=1)


def test_in_real_time_a_piece_comes_when_it_would_be_whole() -> None:
    """Being late once, as with a slow socket, makes no later piece late."""
    now = 100.0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    def clock() -> float:
        return now

    async def play() -> list[float]:
        nonlocal now
        times = []
        async for _ in Recording(SHIPPED).in_real_time(clock, sleep):
            times.append(round(now - 100, 3))
            if len(times) == 2:
                now += 0.1
        return times

    times = asyncio.run(play())
    assert times[:6] == [0.04, 0.08, 0.18, 0.18, 0.2, 0.24]
    assert times[-1] == pytest.approx(2.906, abs=0.001)
    assert len(waits) == len(times) - 2


def nothing(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16_000, format="WAV")


def words(path: Path) -> None:
    path.write_text("this is no sound\n" * 100)


def cut_off(path: Path) -> None:
    soundfile.write(path, tone(16_000, 5.0), 16_000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_numbers(path: Path) -> None:
    samples = tone(16_000)
    samples[8000] = np.nan
    soundfile.write(path, samples, 16_000, format="WAV", subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "error", "says"),
    [
        (nothing, FileNotFoundError, "a.sound"),
        (empty, RecordingError, "a.sound holds no sound"),
        (words, RecordingError, "a.sound cannot be heard: .*ormat"),
        (cut_off, RecordingError, "a.sound (is broken|ends after)"),
        (no_numbers, RecordingError, "a.sound has samples that are no numbers"),
        (Path.mkdir, IsADirectoryError, "a.sound"),
    ],
)
def test_what_cannot_be_heard_is_named(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception], says: str
) -> None:
    write(tmp_path / "a.sound")
    with pytest.raises(error, match=says):
        heard(Recording(tmp_path / "a.sound"))
