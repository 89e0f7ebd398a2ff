"""Layers assembled from attention: under the law, and their sums written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from contract import verify
from torch import Tensor

from streamtrans.nn.blocks import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    RecurrentDecoderLayer,
    TransformerDecoderLayer,
)
from streamtrans.nn.cross import CrossAttention, FixedContext
from streamtrans.nn.monotonic_attention import MonotonicAttention
from streamtrans.nn.recurrent import GRU, LSTM


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def test_feed_forward_is_swiglu() -> None:
    """(SiLU(x W) * x V) W2, Shazeer 2020, equation 6."""
    torch.manual_seed(0)
    module = FeedForward(6, 10).double()
    x = random(2, 3, 6)
    gate, up = module.gate_up.weight.chunk(2)
    w, v = x @ gate.T, x @ up.T
    torch.testing.assert_close(module(x), (w / (1 + (-w).exp()) * v) @ module.down.weight.T)


def test_encoder_layer_is_its_sum() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(8, heads=2, hidden=12, window=5, dropout=0.3).double().eval()
    x = random(2, 9, 8)
    y = x + layer.attention(F.layer_norm(x, (8,), layer.attention_norm.weight))
    y = y + layer.feed(F.layer_norm(y, (8,), layer.feed_norm.weight))
    torch.testing.assert_close(layer(x), y)


def test_dropout_is_for_training_only() -> None:
    layer = EncoderLayer(8, heads=2, hidden=12, window=5, dropout=0.5)
    x = random(2, 9, 8).float()
    assert torch.equal(layer.eval()(x), layer(x))
    assert not torch.equal(layer.train()(x), layer(x))


def test_encoder_layer_obeys_the_law() -> None:
    torch.manual_seed(0)
    verify(EncoderLayer(8, heads=2, hidden=12, window=5, dropout=0.1), random(3, 20, 8), piece=9)


LAYERS: dict[str, Callable[[], DecoderLayer]] = {
    "transformer": lambda: TransformerDecoderLayer(8, 2, 12, 3, CrossAttention(8, 2, 9), 0.1),
    "monotonic transformer": lambda: TransformerDecoderLayer(
        8, 2, 12, 3, MonotonicAttention(8, 2, 9, None, False), 0.1
    ),
    "gru": lambda: RecurrentDecoderLayer(8, GRU(8, 8, residual=True), CrossAttention(8, 1, 9), 0.1),
    "fixed lstm": lambda: RecurrentDecoderLayer(8, LSTM(8, 8), FixedContext(8), 0.1),
    "upper gru": lambda: RecurrentDecoderLayer(8, GRU(8, 8), None, 0.1),
}


def built(name: str) -> DecoderLayer:
    torch.manual_seed(0)
    return LAYERS[name]().double().eval()


@pytest.mark.parametrize("name", LAYERS)
def test_decoder_layer_while_the_source_grows(name: str) -> None:
    """Steps over the target between appends of source equal `forward` with what each step could see."""
    layer = built(name)
    x, memory = random(2, 7, 8), random(2, 9, 8)
    visible = torch.tensor([2, 2, 4, 5, 5, 9, 9])
    state, ys, seen = layer.init_state(2), [], 0
    for u, now in enumerate(visible.tolist()):
        if now > seen:
            state = layer.append(memory[:, seen:now], state, None)
            seen = now
        y, stopped, state = layer.step(x[:, u : u + 1], state)
        assert (stopped is None) == ("monotonic" not in name)
        ys.append(y)
    expected, alignment = layer(x, memory, visible.expand(2, -1))
    torch.testing.assert_close(torch.cat(ys, dim=1), expected)
    assert alignment is None


def test_transformer_decoder_layer_is_its_sum() -> None:
    layer = built("transformer")
    assert isinstance(layer, TransformerDecoderLayer) and layer.cross is not None
    x, memory = random(2, 7, 8), random(2, 9, 8)
    visible = torch.arange(1, 8).expand(2, -1)
    y = x + layer.attention(F.layer_norm(x, (8,), layer.attention_norm.weight))
    y = y + layer.cross(F.layer_norm(y, (8,), layer.cross_norm.weight), memory, visible)[0]
    y = y + layer.feed(F.layer_norm(y, (8,), layer.feed_norm.weight))
    torch.testing.assert_close(layer(x, memory, visible)[0], y)


def test_recurrent_decoder_layer_is_its_sum() -> None:
    """The state after the newest piece asks the source (Luong et al. 2015); an upper layer asks nothing."""
    layer = built("gru")
    assert isinstance(layer, RecurrentDecoderLayer) and layer.cross is not None
    x, memory = random(2, 7, 8), random(2, 9, 8)
    visible = torch.arange(1, 8).expand(2, -1)
    y = x + layer.recurrent.layers[0](x)[0]
    y = y + layer.cross(F.layer_norm(y, (8,), layer.cross_norm.weight), memory, visible)[0]
    torch.testing.assert_close(layer(x, memory, visible)[0], y)
    upper = built("upper gru")
    assert isinstance(upper, RecurrentDecoderLayer)
    torch.testing.assert_close(upper(x, memory, visible)[0], upper.recurrent.layers[0](x)[0])


def test_monotonic_attention_hands_its_alignment_through_in_training() -> None:
    layer = built("monotonic transformer").train()
    _, alignment = layer(random(2, 7, 8), random(2, 9, 8), torch.full((2, 7), 9))
    assert alignment is not None and alignment.shape == (2, 2, 7, 9)
