"""Any rate to 16 kHz: the same for every cutting, the right pitch and level, nothing lost at the end."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soxr

from streamtrans.audio.errors import AudioError
from streamtrans.audio.input import AudioInput
from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import QUALITY, RATES, Resampler


def noise(rate: int, seconds: float = 1.0) -> Samples:
    return np.random.default_rng(rate).uniform(-0.9, 0.9, int(rate * seconds)).astype(np.float32)


def tone(rate: int, hertz: float, seconds: float = 1.0) -> Samples:
    time = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def run(resampler: Resampler, x: Samples, sizes: list[int]) -> Samples:
    ys, at = [], 0
    for size in sizes:
        ys.append(resampler.feed(x[at : at + size]))
        at += size
    return np.concatenate([*ys, resampler.feed(x[at:]), resampler.flush()])


@pytest.mark.parametrize("rate", RATES)
def test_any_cutting_is_the_whole_to_the_bit(rate: int) -> None:
    """Resampling each piece alone would click where pieces meet."""
    x, rng = noise(rate), np.random.default_rng(1)
    whole = soxr.resample(x, rate, 16_000, quality=QUALITY)
    assert abs(len(whole) - 16_000) <= 1
    for sizes in ([], [1] * 50, rng.integers(0, rate // 5, 9).tolist(), [rate // 10] * 10):
        assert np.array_equal(run(Resampler(rate), x, sizes), whole)


@pytest.mark.parametrize("rate", RATES)
def test_after_flush_a_stream_is_new(rate: int) -> None:
    resampler, x = Resampler(rate), noise(rate, 0.3)
    first = run(resampler, x, [rate // 7])
    assert np.array_equal(run(resampler, x, [rate // 5]), first)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [200, 1000, 3000])
def test_a_tone_keeps_its_pitch_level_and_phase(rate: int, hertz: float) -> None:
    y = run(Resampler(rate), tone(rate, hertz), [])[1000:-1000]
    expected = tone(16_000, hertz)[1000 : 1000 + len(y)]
    most = 0.015 if hertz > 0.3 * rate else 1e-3  # the filter begins to fall: 0.3 dB
    assert np.abs(y - expected).max() < most


def test_what_16_khz_cannot_hold_is_removed() -> None:
    """A tone of 11 kHz would come back as one of 5 kHz."""
    assert np.abs(run(Resampler(48_000), tone(48_000, 11_000), [])[1000:-1000]).max() < 1e-4


@pytest.mark.parametrize(("rate", "most"), [(8_000, 62), (44_100, 22), (48_000, 20), (16_000, 0)])
def test_little_is_held_back(rate: int, most: float) -> None:
    """In ms, while pieces of 100 ms come in."""
    resampler, x, piece, out = Resampler(rate), noise(rate, 3), rate // 10, 0
    held = []
    for at in range(0, len(x), piece):
        out += len(resampler.feed(x[at : at + piece]))
        held.append((at + piece) / rate * 1000 - out / 16)
    assert 0 <= min(held) and max(held) <= most


@pytest.mark.parametrize("rate", RATES)
def test_what_is_certain_is_there_in_any_cutting_and_little_less_than_all(rate: int) -> None:
    x, rng = noise(rate, 2), np.random.default_rng(2)
    for most in (3, 300, rate // 2):
        stream, at, out, flushes = AudioInput("f32le", rate), 0, 0, 1
        while at < len(x):
            size = int(rng.integers(1, most + 1))
            out += len(stream.feed(x[at : at + size].tobytes()))
            at += size
            seconds = min(at, len(x)) / rate
            assert stream.certain <= out
            assert stream.certain >= int(seconds * 16_000) - (0 if rate == 16_000 else 1_700)
            if rng.random() < 0.01:
                out += len(stream.flush())
                flushes += 1
                assert stream.certain == out
        assert abs(out + len(stream.flush()) - 32_000) <= flushes


@pytest.mark.parametrize("rate", [0, -16_000, 11_025, 16_001, 96_000])
def test_a_wrong_rate_is_named(rate: int) -> None:
    with pytest.raises(AudioError, match=f"bad_rate: {rate} samples a second; use one of 8000"):
        Resampler(rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_whole_input_loses_nothing(rate: int) -> None:
    """Bytes in odd pieces in, all samples out, the clock right."""
    audio = AudioInput("s16le", rate)
    data = (noise(rate, 0.5) * 32767).astype("<i2").tobytes()
    got = [audio.feed(data[at : at + 333]) for at in range(0, len(data), 333)]
    assert audio.seconds == pytest.approx(0.5, abs=1e-4)
    assert abs(sum(map(len, got)) + len(audio.end()) - 8_000) <= 1


def test_an_input_that_ends_in_half_a_sample_still_gives_its_rest() -> None:
    audio = AudioInput("s16le", 48_000)
    given = len(audio.feed(bytes(9601)))
    with pytest.raises(AudioError, match="half_sample"):
        audio.end()
    assert given + len(audio.flush()) == 1600


def test_pcm_comes_without_torch() -> None:
    """A client that only sends sound must start at once, on a machine that has no torch."""
    code = "import sys, streamtrans.audio.input; print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert "streamtrans.audio.input" in loaded
    assert not loaded & {"torch", "torchaudio", "asyncio"}
