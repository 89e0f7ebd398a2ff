"""What happens to speech between a mouth and a model: rooms, noise, telephones, levels; and SpecAugment on features.

All chance comes from the generator that is handed in: the same seed gives the same samples. It knows samples of 16 kHz
and mel frames. It does not know texts, voices or models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtrans.audio.pcm import Samples
from streamtrans.audio.resample import RATE
from streamtrans.training.synthesis import SpokenWord, Utterance

BANDS = 8  # of a microphone's colour


@dataclass(frozen=True)
class Augmentation:
    """How far samples are changed. `..._share`: of the utterances this happens to.

    speed: factors from 1 - speed to 1 + speed; silence: s at most before and after; reverberation: s from lowest to
    highest until a room's sound has fallen by 60 dB; colour: dB by which a microphone favours frequencies,
    standard deviation; noise: dB from lowest to highest of speech over it; level: dB from lowest to highest of the
    loudest sample, over 0 is clipped; telephone: nothing over 4 kHz.
    """

    speed: float = 0.1
    silence: float = 0.5
    reverberation: tuple[float, float] = (0.1, 0.7)
    reverberation_share: float = 0.5
    colour: float = 4.0
    colour_share: float = 0.5
    noise: tuple[float, float] = (5.0, 40.0)
    noise_share: float = 0.8
    level: tuple[float, float] = (-30.0, 3.0)
    telephone_share: float = 0.1

    def apply(self, utterance: Utterance, rng: np.random.Generator) -> Utterance:
        """The utterance as another microphone would have it, from -1 to 1; word times move with it."""
        utterance = changed_speed(utterance, 1 + rng.uniform(-self.speed, self.speed))
        before, after = rng.uniform(0, self.silence, 2)
        utterance = with_silence(utterance, before, after)
        x = utterance.samples
        if rng.random() < self.reverberation_share:
            x = reverberate(x, impulse_response(rng.uniform(*self.reverberation), rng))
        if self.colour_share and rng.random() < self.colour_share:
            x = equalize(x, rng.normal(0, self.colour, BANDS))
        if rng.random() < self.noise_share:
            noise = coloured_noise(len(x), rng.uniform(0, 2), rng)
            x = mix(x, noise, rng.uniform(*self.noise))
        if rng.random() < self.telephone_share:
            x = soxr.resample(soxr.resample(x, RATE, 8_000), 8_000, RATE)[: len(x)]
        return Utterance(at_level(x, rng.uniform(*self.level)), utterance.words)


CLEAN = Augmentation(
    speed=0,
    silence=0,
    reverberation_share=0,
    colour_share=0,
    noise_share=0,
    level=(-6.0, -6.0),
    telephone_share=0,
)


def changed_speed(utterance: Utterance, factor: float) -> Utterance:
    """Played faster (over 1) or slower, pitch and all (Ko et al. 2015)."""
    samples = soxr.resample(utterance.samples, factor, 1.0)
    words = (SpokenWord(w.text, w.begin / factor, w.end / factor) for w in utterance.words)
    return Utterance(samples, tuple(words))


def with_silence(utterance: Utterance, before: float, after: float) -> Utterance:
    """Seconds of digital silence before and after."""
    sides = round(before * RATE), round(after * RATE)
    shift = sides[0] / RATE
    words = (SpokenWord(w.text, w.begin + shift, w.end + shift) for w in utterance.words)
    return Utterance(np.pad(utterance.samples, sides), tuple(words))


def impulse_response(seconds: float, rng: np.random.Generator) -> Samples:
    """A room that takes `seconds` to fall by 60 dB: the direct sound, then noise that dies away (Polack 1988).

    The direct sound is the first sample, so words stay where they are; what follows starts after 2 to 20 ms and has
    from a tenth of its energy to twice as much.
    """
    length = max(2, round(seconds * RATE))
    time = np.arange(length) / RATE
    tail = rng.standard_normal(length) * 10 ** (-3 * time / seconds)
    tail[: round(rng.uniform(0.002, 0.02) * RATE)] = 0
    energy = rng.uniform(0.1, 2.0)
    tail *= np.sqrt(energy / max(np.square(tail).sum(), 1e-12))
    tail[0] = 1
    return tail.astype(np.float32)


def reverberate(x: Samples, response: Samples) -> Samples:
    """The convolution of both, as long as x."""
    size = 1 << (len(x) + len(response) - 1).bit_length()
    product = np.fft.rfft(x, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(x)].astype(np.float32)


def equalize(x: Samples, gains: NDArray[np.float64]) -> Samples:
    """Each frequency louder by a gain in dB: `gains` hold for points even in octaves from 60 Hz to 8 kHz, straight
    lines between them.
    """
    size = 1 << max(1, (len(x) - 1).bit_length())
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    points = np.geomspace(60, RATE / 2, len(gains))
    curve = 10 ** (np.interp(np.log(frequency + 1), np.log(points + 1), gains) / 20)
    return np.fft.irfft(np.fft.rfft(x, size) * curve, size)[: len(x)].astype(np.float32)


def coloured_noise(length: int, slope: float, rng: np.random.Generator) -> Samples:
    """Noise whose power falls as frequency ** -slope: 0 white, 1 pink, 2 brown; power 1."""
    size = 1 << max(
        1, (length - 1).bit_length()
    )  # transforms of other lengths take five times as long
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), size)[:length]
    return (noise / max(float(noise.std()), 1e-12)).astype(np.float32)


def mix(x: Samples, noise: Samples, decibels: float) -> Samples:
    """Noise under x, so that x has `decibels` more power while it is not silent."""
    active = np.square(x[np.abs(x) > 1e-4])
    power = float(active.mean()) if len(active) else 1e-4
    own = max(float(np.square(noise).mean()), 1e-12)
    return (x + noise * np.sqrt(power / own / 10 ** (decibels / 10))).astype(np.float32)


def at_level(x: Samples, decibels: float) -> Samples:
    """The loudest sample at `decibels` of full scale; what is over full scale is clipped."""
    peak = max(float(np.abs(x).max(initial=0)), 1e-9)
    return (x * (10 ** (decibels / 20) / peak)).clip(-1, 1).astype(np.float32)


@dataclass(frozen=True)
class SpecAugment:
    """Bands and spans of mel frames set to a fill value (Park et al. 2019, section 2), no time warping.

    bands, spans: how many of each; band: mels at most, span: frames at most, and at most a `share` of an utterance in
    all its spans together.
    """

    bands: int = 2
    band: int = 20
    spans: int = 4
    span: int = 15
    share: float = 0.2

    def apply(self, features: Tensor, fill: float, rng: np.random.Generator) -> Tensor:
        """(T, M) -> (T, M), a copy."""
        features = features.clone()
        time, mels = features.shape
        for _ in range(self.bands):
            width = int(rng.integers(0, min(self.band, mels) + 1))
            start = int(rng.integers(0, mels - width + 1))
            features[:, start : start + width] = fill
        most = min(self.span, int(time * self.share / max(1, self.spans)))
        for _ in range(self.spans):
            width = int(rng.integers(0, most + 1))
            start = int(rng.integers(0, time - width + 1))
            features[start : start + width] = fill
        return features


def padded(examples: list[Samples]) -> tuple[Tensor, Tensor]:
    """Examples of unlike length, digital silence behind the short ones: (B, N) samples and (B,) lengths."""
    lengths = torch.tensor([len(x) for x in examples])
    batch = torch.zeros(len(examples), int(lengths.max()))
    for row, x in zip(batch, examples, strict=True):
        row[: len(x)] = torch.from_numpy(x)
    return batch, lengths
