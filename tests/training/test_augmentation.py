"""Rooms, noise, levels, masks: each does what its name says, and a seed fixes all of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from streamtrans.audio.pcm import Samples
from streamtrans.training.augmentation import (
    CLEAN,
    Augmentation,
    SpecAugment,
    at_level,
    changed_speed,
    coloured_noise,
    equalize,
    impulse_response,
    mix,
    padded,
    reverberate,
    with_silence,
)
from streamtrans.training.synthesis import SpokenWord, Utterance


def tone(hertz: float = 440, seconds: float = 1.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000)).astype(
        np.float32
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SAID = Utterance(tone(), (SpokenWord("one", 0.1, 0.4), SpokenWord("two", 0.4, 0.9)))


def test_a_seed_fixes_every_sample() -> None:
    first, again, other = (Augmentation().apply(SAID, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.samples, again.samples) and first.words == again.words
    assert len(first.samples) != len(other.samples)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_drawn_is_sound(seed: int) -> None:
    """Finite, within full scale, and every word inside."""
    said = Augmentation().apply(SAID, rng(seed))
    assert said.samples.dtype == np.float32 and np.isfinite(said.samples).all()
    assert 0.01 < np.abs(said.samples).max() <= 1
    assert all(0 <= w.begin < w.end <= said.seconds for w in said.words)


def test_silence_stays_finite() -> None:
    nothing = Utterance(np.zeros(1600, np.float32), ())
    assert all(np.isfinite(Augmentation().apply(nothing, rng(s)).samples).all() for s in range(9))


def test_clean_changes_the_level_only() -> None:
    said = CLEAN.apply(SAID, rng())
    assert said.words == SAID.words
    np.testing.assert_allclose(said.samples, SAID.samples * (10 ** (-6 / 20) / 0.5), atol=1e-3)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_moves_length_pitch_and_words(factor: float) -> None:
    fast = changed_speed(SAID, factor)
    assert fast.seconds == pytest.approx(1 / factor, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(fast.samples))
    assert spectrum.argmax() / fast.seconds == pytest.approx(440 * factor, abs=3)
    assert fast.words[1].end == pytest.approx(0.9 / factor)


def test_silence_shifts_the_words() -> None:
    said = with_silence(SAID, 0.25, 0.5)
    assert said.seconds == 1.75 and said.words[0] == SpokenWord("one", 0.35, 0.65)
    assert not said.samples[:4000].any() and not said.samples[-8000:].any()


def test_an_impulse_response_falls_by_60_db_in_its_time() -> None:
    """Schroeder's backward integral, fitted from -5 to -25 dB, averaged over rooms."""
    times = []
    for seed in range(20):
        tail = impulse_response(0.5, rng(seed)).astype(np.float64)
        assert tail[0] == 1 and 0.09 < np.square(tail[1:]).sum() < 2.01
        fall = 10 * np.log10(
            np.cumsum(np.square(tail[1:])[::-1])[::-1] / np.square(tail[1:]).sum() + 1e-30
        )
        five, twenty_five = (int(np.argmax(fall < level)) for level in (-5, -25))
        times.append((twenty_five - five) / 16_000 * 3)
    assert np.mean(times) == pytest.approx(0.5, rel=0.1)


def test_reverberation_is_convolution_and_keeps_the_time() -> None:
    x, response = rng(1).standard_normal(300).astype(np.float32), impulse_response(0.01, rng(2))
    np.testing.assert_allclose(reverberate(x, response), np.convolve(x, response)[:300], atol=1e-4)


def test_a_microphones_colour_is_louder_where_it_says() -> None:
    x = coloured_noise(1 << 16, 0, rng())
    gains = np.array([12.0, 0, 0, 0, 0, 0, 0, -12.0])
    change = np.square(np.abs(np.fft.rfft(equalize(x, gains)) / np.fft.rfft(x)))
    decibels = 10 * np.log10(change)
    hertz = np.fft.rfftfreq(1 << 16, 1 / 16_000)
    assert decibels[hertz < 50].mean() == pytest.approx(12, abs=0.5)
    assert np.abs(decibels[(hertz > 130) & (hertz < 3_900)]).max() < 0.5
    assert decibels[-10:].mean() == pytest.approx(-12, abs=0.1)
    np.testing.assert_allclose(equalize(x, np.zeros(8)), x, atol=1e-5)


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_noise_has_its_colour(slope: float) -> None:
    noise = coloured_noise(1 << 16, slope, rng())
    assert noise.std() == pytest.approx(1, abs=1e-3)
    power = np.square(np.abs(np.fft.rfft(noise)))
    low, high = power[500:1000].mean(), power[8000:16000].mean()
    assert 10 * math.log10(low / high) == pytest.approx(slope * 10 * math.log10(16), abs=1)


def test_noise_is_as_far_below_as_it_says() -> None:
    """Measured against the speech, not against the silence around it."""
    x = np.concatenate((tone(), np.zeros(16_000, np.float32)))
    noise = coloured_noise(len(x), 1, rng())
    under = mix(x, noise, 10) - x
    assert 10 * math.log10(0.125 / np.square(under).mean()) == pytest.approx(10, abs=0.1)


def test_a_level_over_full_scale_is_clipped() -> None:
    assert np.abs(at_level(tone(), -20)).max() == pytest.approx(0.1)
    loud = at_level(tone(), 3)
    assert np.abs(loud).max() == 1 and np.count_nonzero(np.abs(loud) == 1) > 1000


def test_masks_hide_bands_and_spans_and_no_more() -> None:
    features = torch.ones(200, 80)
    hidden = []
    for seed in range(50):
        masked = SpecAugment().apply(features, -1, rng(seed))
        gone = masked == -1
        bands, spans = gone.all(0), gone.all(1)
        assert torch.equal(gone, bands[None] | spans[:, None])
        assert bands.sum() <= 40 and spans.sum() <= 40
        hidden.append(gone.float().mean().item())
    assert 0.1 < np.mean(hidden) < 0.5 and features.min() == 1
    assert torch.equal(
        SpecAugment().apply(features, -1, rng(3)), SpecAugment().apply(features, -1, rng(3))
    )


def test_a_very_short_utterance_is_not_all_hidden() -> None:
    assert all(
        (SpecAugment(bands=0).apply(torch.ones(3, 80), 0, rng(s)) == 1).all() for s in range(20)
    )


def test_padding_is_silence() -> None:
    batch, lengths = padded([tone(seconds=0.1), tone(seconds=0.3)])
    assert batch.shape == (2, 4800) and lengths.tolist() == [1600, 4800]
    assert not batch[0, 1600:].any() and torch.equal(batch[1], torch.from_numpy(tone(seconds=0.3)))
