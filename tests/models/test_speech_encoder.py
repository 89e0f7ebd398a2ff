"""The speech encoder: the law for any cutting of mel frames, what it sees, what it costs in time, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from strided import verify_strided
from torch import Tensor, nn

from streamtrans.models.config import ConfigError, build
from streamtrans.models.speech_encoder import SpeechEncoder, SpeechEncoderConfig

TINY = SpeechEncoderConfig(
    mels=5, subsampling=4, dim=8, heads=2, hidden=12, layers=2, kernel=3, window=5, chunk=2, piece=8
)  # fmt: skip


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def build_encoder(config: SpeechEncoderConfig) -> SpeechEncoder:
    torch.manual_seed(0)
    encoder = SpeechEncoder(config).double().eval()
    nn.init.normal_(encoder.ahead.weight)
    return encoder


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, chunk=1),
        replace(TINY, ahead=3),
        replace(TINY, subsampling=2, chunk=4),
        replace(TINY, subsampling=8, chunk=1, ahead=1),
    ],
    ids=["chunks", "causal", "look-ahead", "20 ms", "80 ms"],
)
def test_encoder_obeys_the_law(config: SpeechEncoderConfig) -> None:
    """Cut anywhere: within a state, within a chunk, rows out of step."""
    verify_strided(build_encoder(config), random(3, 67, 5), piece=16)


def test_forward_is_its_parts() -> None:
    """Against torch's convolution, frame by frame of the front."""
    encoder, x = build_encoder(TINY), random(2, 35, 5)
    y = x.transpose(1, 2)
    for conv in encoder._front():
        weight = conv.linear.weight.view(8, 4, -1).transpose(1, 2)
        y = F.gelu(F.conv1d(F.pad(y, (2, 0)), weight, conv.linear.bias, stride=2))
    y = (
        F.layer_norm(y.transpose(1, 2), (8,), encoder.front_norm.weight)
        * encoder.ahead.weight[:, 0, 0]
    )
    for layer in encoder.layers:
        y = layer(y)
    torch.testing.assert_close(encoder(x), y)


@pytest.mark.parametrize("ahead", [0, 3])
def test_the_latency_is_what_a_state_may_see(ahead: int) -> None:
    """The sound a state stands for is over at `ends`; the last sound it sees comes up to `latency` after that."""
    config = replace(TINY, ahead=ahead)
    encoder, x = build_encoder(config), random(1, 96, 5)
    x.requires_grad_()
    latest, weight = [], random(8)
    for u in range(config.ahead, 20):
        (grad,) = torch.autograd.grad(encoder(x)[0, u] @ weight, x)
        latest.append(10 * (int(grad.abs().sum(2)[0].nonzero().max()) + 1) - config.ends(u))
    assert max(latest) == config.latency - config.frame  # the sound itself lasts a frame
    assert min(latest) == config.frame * ahead


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 40])
def test_a_tail_brings_out_the_states_of_all_frames(length: int, ahead: int) -> None:
    config = replace(TINY, ahead=ahead)
    whole = length + config.tail(length)
    assert whole % config.stride == 0
    states = build_encoder(config).count(whole)
    assert config.ends(states - 1) >= 10 * length
    assert config.tail(whole - 4 * ahead) == 4 * ahead


def test_memory_and_cost_are_bounded() -> None:
    """The state of a stream is as large after a thousand frames as before the first."""
    encoder = build_encoder(TINY)
    state = encoder.init_state(1)
    sizes = [p.kept.numel() for p in (*state.front, state.ahead, state.chunk)]
    with torch.no_grad():
        for _ in range(40):
            y, state = encoder.step(random(1, 24, 5), state)
            assert y.shape == (1, 6, 8) and y.isfinite().all()
    assert [p.kept.numel() for p in (*state.front, state.ahead, state.chunk)] == sizes
    assert state.layers[0].attention.cells == TINY.window + TINY.piece - 1


def test_silence_and_full_scale_are_finite() -> None:
    encoder = build_encoder(TINY)
    for level in (0.0, -100.0, 100.0):
        assert encoder(torch.full((1, 16, 5), level, dtype=torch.float64)).isfinite().all()


def test_dropout_is_for_training_only() -> None:
    encoder, x = build_encoder(replace(TINY, dropout=0.5)), random(1, 16, 5)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))


def test_too_large_a_step_is_refused() -> None:
    encoder = build_encoder(TINY)
    with pytest.raises(ValueError, match="at most 8 positions, not 10"):
        encoder.step(random(1, 40, 5), encoder.init_state(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"subsampling": 6}, "subsampling 6 must be a power of 2"),
        ({"subsampling": 1}, "subsampling 1"),
        ({"dim": 30}, "dim 30 must be a multiple"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"ahead": -1}, "ahead must be at least 0"),
        ({"chunk": 7}, "piece 64 must be a multiple of chunk 7"),
        ({"strides": 2}, "unknown key strides"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SpeechEncoderConfig, values, "encoder")


def test_what_the_default_costs() -> None:
    assert SpeechEncoderConfig().latency == 320
    assert SpeechEncoderConfig(chunk=4, ahead=2).latency == 240
    assert SpeechEncoderConfig(subsampling=8, chunk=1).latency == 80


def test_a_step_that_completes_no_chunk_skips_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 100 ms would run all layers on padding two times of three."""
    encoder = build_encoder(TINY)
    calls = []
    plan = encoder._layers()[0].attention.plan
    monkeypatch.setattr(
        encoder._layers()[0].attention, "plan", lambda *args: calls.append(1) or plan(*args)
    )
    state, x, given = encoder.init_state(2), random(2, 16, 5), []
    for at in range(0, 16, 2):
        y, state = encoder.step(x[:, at : at + 2], state)
        given.append(y.shape[1])
    assert given == [0, 0, 0, 2] * 2 and len(calls) == 2
