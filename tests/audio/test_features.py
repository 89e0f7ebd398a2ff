"""Log-mel frames: torchaudio's for the whole, the same for any cutting, defined for silence and full scale."""

from __future__ import annotations

import math

import pytest
import torch
import torchaudio
from strided import verify_strided
from torch import Tensor

from streamtrans.audio.errors import AudioError
from streamtrans.audio.features import FLOOR, MELS, SILENCE, LogMel, Normalization


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.1


def golden(x: Tensor) -> Tensor:
    """torchaudio's spectrogram, shifted so that a window ends with its hop."""
    mel = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=512, win_length=400, hop_length=160, f_min=20.0, f_max=8_000.0, n_mels=80, center=False
    )  # fmt: skip
    before, after = 240 + 56, 56  # the window lies in the middle of 512
    return mel(torch.nn.functional.pad(x, (before, after))).clamp(min=FLOOR).log().transpose(1, 2)


def test_frames_are_torchaudios() -> None:
    x = noise(2, 16_000)
    torch.testing.assert_close(LogMel()(x), golden(x), atol=1e-4, rtol=1e-4)


def test_features_obey_the_law() -> None:
    """Pieces of any number of samples, most of them no multiple of a hop, rows out of step with each other."""
    verify_strided(LogMel(), noise(3, 1200), piece=700)


def test_pieces_of_100_ms_give_the_frames_of_the_whole() -> None:
    module, x = LogMel(), noise(1, 16_000)
    state, ys = module.init_state(1), []
    for at in range(0, 16_000, 1600):
        y, state = module.step(x[:, at : at + 1600], state)
        assert y.shape == (1, 10, MELS)
        ys.append(y)
    torch.testing.assert_close(torch.cat(ys, dim=1), module(x))


def test_no_frame_waits_for_what_comes_after_it() -> None:
    x = noise(1, 1600)
    changed = x.clone()
    changed[:, 800:] = 1
    same = (LogMel()(x) == LogMel()(changed)).all(dim=2)[0]
    assert same.tolist() == [True] * 5 + [False] * 5


def test_digital_silence_is_the_floor() -> None:
    y = LogMel()(torch.zeros(1, 800))
    assert y.min() == y.max() and y[0, 0, 0].item() == pytest.approx(SILENCE)


@pytest.mark.parametrize("level", [1e-9, 1 / 32768, 1.0])
def test_every_level_gives_finite_frames(level: float) -> None:
    x = level * torch.ones(1, 1600)
    x[:, ::2] = -level
    assert LogMel()(x).isfinite().all()


def test_a_gain_is_a_shift() -> None:
    """So that training at many gains teaches every loudness."""
    x = noise(1, 1600)
    shift = LogMel()(x) - LogMel()(x * 0.5)
    torch.testing.assert_close(shift, torch.full_like(shift, math.log(4)), atol=1e-3, rtol=0)


def test_a_tone_is_in_its_band() -> None:
    time = torch.arange(3200) / 16_000
    bands = [
        LogMel()(torch.sin(2 * math.pi * f * time)[None])[0, 10].argmax().item()
        for f in (200, 1000, 4000)
    ]
    centres = LogMel().basis.argmax(0) * 16_000 / 512
    for band, hertz in zip(bands, (200, 1000, 4000), strict=True):
        assert abs(centres[int(band)].item() - hertz) < 0.06 * hertz + 16


def test_less_than_a_hop_gives_no_frame() -> None:
    assert LogMel()(torch.zeros(2, 159)).shape == (2, 0, MELS)


def test_normalization_gives_mean_zero_and_deviation_one() -> None:
    features = LogMel()(noise(1, 16_000))[0]
    norm = Normalization()
    torch.testing.assert_close(norm(features), features)
    norm.fit(features)
    torch.testing.assert_close(norm(features).mean(0), torch.zeros(MELS), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm(features).std(0), torch.ones(MELS), atol=1e-4, rtol=0)


def test_statistics_travel_with_the_weights() -> None:
    norm, other = Normalization(), Normalization()
    norm.fit(LogMel()(noise(1, 16_000))[0])
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other.mean, norm.mean) and not LogMel().state_dict()


def test_a_band_that_never_varies_cannot_blow_up() -> None:
    norm = Normalization()
    norm.fit(torch.full((5, MELS), SILENCE))
    assert norm(torch.zeros(1, MELS)).abs().max() < 200


@pytest.mark.parametrize("features", [torch.zeros(1, MELS), torch.full((4, MELS), math.nan)])
def test_statistics_of_nothing_are_refused(features: Tensor) -> None:
    with pytest.raises(AudioError, match="bad_samples: statistics"):
        Normalization().fit(features)
