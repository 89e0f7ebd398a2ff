"""Sound on its way from a file or a microphone to the server: nothing lost, nothing bent."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import webvtt
from chromium import browser, page_at
from conftest import our_server
from fake_speech import PAUSE_MS, STEP_MS, WORD_MS, speech
from numpy.typing import NDArray
from scripted_site import Site
from test_page import until_state, until_words

RATE = 16000
RESAMPLE = """
async ([samples, from, to, cuts]) => {
    const { Resampler } = await import("/resampler.js");
    const resampler = new Resampler(from, to);
    const output = [];
    let start = 0;
    for (const cut of [...cuts, samples.length]) {
        output.push(...resampler.push(Float32Array.from(samples.slice(start, cut))));
        start = cut;
    }
    return [...output, ...resampler.end()];
}
"""


@pytest.fixture(scope="module")
def blank(chromium: Any) -> Any:
    with Site("audio").serving() as url, page_at(chromium, url + "icon.svg") as page:
        yield page


def resampled(
    page: Any, samples: NDArray[np.float64], source: int, target: int, cuts: list[int] | None = None
) -> NDArray[np.float64]:
    found = page.evaluate(RESAMPLE, [samples.tolist(), source, target, cuts or []])
    return np.array(found)


def tone(frequency: float, rate: int, seconds: float = 0.25) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("source", [8000, 16000, 44100, 48000, 96000])
def test_any_cutting_gives_the_same_samples(blank: Any, source: int) -> None:
    generator = np.random.default_rng(source)
    noise = generator.uniform(-1, 1, 5000)
    whole = resampled(blank, noise, source, RATE)
    cuts = sorted(generator.integers(0, 5000, 60).tolist())
    assert np.array_equal(resampled(blank, noise, source, RATE, cuts), whole)
    assert len(whole) == -(-5000 * RATE // source)


@pytest.mark.parametrize("source", [8000, 44100, 48000])
@pytest.mark.parametrize("frequency", [100.0, 1000.0, 3000.0])
def test_a_tone_keeps_its_shape_and_place(blank: Any, source: int, frequency: float) -> None:
    found = resampled(blank, tone(frequency, source), source, RATE)
    error = (found - tone(frequency, RATE))[400:-400]
    assert 20 * np.log10(np.abs(error).max() / 0.5) < -70


def test_what_16_khz_cannot_hold_is_taken_away(blank: Any) -> None:
    """Plain decimation would fold 10 kHz onto 6 kHz, in the middle of speech."""
    found = resampled(blank, tone(10000.0, 48000), 48000, RATE)
    assert 20 * np.log10(np.abs(found[400:-400]).max() / 0.5) < -70


def test_the_same_rate_is_the_same_sound(blank: Any) -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 1000).astype(np.float32).astype(float)
    assert np.array_equal(resampled(blank, noise, RATE, RATE, [7, 500]), noise)


def wav(samples: NDArray[np.int16], rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def choose(page: Any, name: str, data: bytes) -> None:
    page.check("[value=file]", force=True)
    page.set_input_files("#file", {"name": name, "mimeType": "audio/wav", "buffer": data})


def test_a_file_arrives_bit_for_bit_at_its_pace(chromium: Any) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 17_000).astype(np.int16)
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url) as page:
        until_state(page, "idle")
        start = time.monotonic()
        choose(page, "talk.wav", wav(samples))
        page.wait_for_function("() => document.querySelectorAll('.target .word').length === 2")
        assert page.is_visible("#progress")
        until_state(page, "ended")
        assert 1.0 <= time.monotonic() - start < 5.0  # eleven frames, the last due after 1 s
        assert page.inner_text(".target .committed") == "WORD1 WORD2"
        lag = int(page.inner_text("#lag-text").removesuffix(" ms"))
        assert 900 < lag < 2000  # this server says of each word that it was heard after 1 ms
    assert site.pcm == samples.tobytes()
    assert (site.starts[0]["kind"], site.starts[0]["rate"]) == ("audio", RATE)
    assert {len(frame) for frame in site.sessions[0].frames[:-1]} == {3200}


def test_two_channels_become_their_mean(chromium: Any) -> None:
    samples = np.random.default_rng(0).integers(-8000, 8000, (3200, 2)).astype(np.int16)
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url) as page:
        until_state(page, "idle")
        choose(page, "talk.wav", wav(samples))
        until_state(page, "ended")
    found = np.frombuffer(site.pcm, np.int16)
    assert np.abs(found - samples.mean(axis=1)).max() <= 0.5


def test_a_file_that_is_no_sound_has_a_name(chromium: Any) -> None:
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url) as page:
        until_state(page, "idle")
        choose(page, "notes.txt", b"no sound at all")
        page.wait_for_function("() => document.getElementById('alert').textContent")
        assert page.inner_text("#alert") == "notes.txt is no audio that this browser can read"
    assert site.starts == []


def test_stopping_a_file_ends_the_session_with_what_was_said(chromium: Any) -> None:
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url) as page:
        until_state(page, "idle")
        choose(page, "talk.wav", wav(np.ones(RATE * 60, np.int16)))
        page.wait_for_selector(".target .word")
        page.click("#stop")
        until_state(page, "ended")
        assert page.is_hidden("#playing")
    assert FIVE_FRAMES <= len(site.pcm) < 10 * FIVE_FRAMES


FIVE_FRAMES = 5 * 3200  # bytes


def chirp() -> NDArray[np.int16]:
    """2 s from 200 to 3000 Hz at half of full scale, with silence around it."""
    t = np.arange(2 * RATE) / RATE
    sweep = 0.5 * np.sin(2 * np.pi * (200 * t + 700 * t**2))
    return np.concatenate([np.zeros(5000), sweep * 32767, np.zeros(10_000)]).astype(np.int16)


def test_a_microphone_through_the_audio_thread(playwright: Any, tmp_path: Path) -> None:
    """Chromium plays a WAV as its microphone; it comes out at the socket, in frames, in shape."""
    (tmp_path / "voice.wav").write_bytes(wav(chirp()))
    site = Site("audio")
    with (
        browser(playwright, tmp_path / "voice.wav") as chromium,
        site.serving() as url,
        page_at(chromium, url) as page,
    ):
        until_state(page, "idle")
        page.check("[value=microphone]", force=True)
        page.click("#listen")
        loud = "() => document.getElementById('level').value"
        page.wait_for_function(f"{loud} > -10")
        assert page.inner_text("#listen") == "Stop listening"
        assert len(page.locator("#device option").all()) >= 2
        page.wait_for_function(f"{loud} === -60")  # the sweep is over
        page.click("#listen")
        until_state(page, "ended")
        assert page.inner_text(".target .committed").startswith("WORD1 WORD2 WORD3")
    frames = site.sessions[0].frames
    assert {len(frame) for frame in frames[:-1]} == {3200} and len(frames[-1]) <= 3200
    heard = np.frombuffer(site.pcm, np.int16).astype(float)
    said = chirp()[5000:-10_000].astype(float)
    place = int(np.argmax(np.correlate(heard, said, "valid")))
    part = heard[place : place + len(said)]
    likeness = part @ said / np.linalg.norm(part) / np.linalg.norm(said)
    assert likeness > 0.95  # a busy machine lets the fake device slip by a few samples
    assert np.linalg.norm(part) / np.linalg.norm(said) == pytest.approx(1, abs=0.05)


def test_what_a_file_says_stands_on_the_page_and_in_the_subtitles(
    chromium: Any, site: str, tmp_path: Path
) -> None:
    """Our server, with an ear that needs no model: source and translation, and the place of each word."""
    with page_at(chromium, site) as page:
        until_state(page, "idle")
        sound = np.frombuffer(bytes(RATE) + speech("one two three. four five."), np.int16)
        choose(page, "talk.wav", wav(sound))
        until_words(page, "source", "one two three four five")
        until_words(page, "target", "ONE TWO THREE FOUR FIVE")
        until_state(page, "ended")
        page.click("summary")
        with page.expect_download() as saved:
            page.click("[data-save=vtt]")
        first, second = webvtt.read(saved.value.path())
    assert (first.text, second.text) == ("ONE TWO THREE", "FOUR FIVE")
    heard = 0.5 + (2 * WORD_MS + 2 * STEP_MS) / 1000  # wait-3 READ the third word for the first
    begins = [float(cue.start.rpartition(":")[2]) for cue in (first, second)]
    assert begins[0] == pytest.approx(heard, abs=0.01)
    assert begins[1] >= heard + 2 * PAUSE_MS / 1000


@pytest.mark.parametrize("kill", [True, False])
def test_a_server_that_is_replaced_hears_the_open_segment_again(chromium: Any, kill: bool) -> None:
    """Killed at once, or shut down, in the middle of a sentence: every word stands once."""
    with our_server() as (url, first):
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        with page_at(chromium, url) as page:
            until_state(page, "idle")
            text = "one two. three four five six seven eight nine ten one two three four five."
            choose(page, "talk.wav", wav(np.frombuffer(speech(text), np.int16)))
            page.wait_for_function("() => document.querySelectorAll('.target .word').length >= 4")
            if kill:
                first.kill()
            else:
                first.terminate()
            first.wait(20)
            until_state(page, "reconnecting")
            with our_server(port):
                words = text.replace(".", "")
                until_words(page, "target", words.upper())
                until_words(page, "source", words)
                until_state(page, "ended")
                assert page.locator(".gap").count() == 0
            page.console_errors.clear()  # Chromium writes one for each attempt
