"""Layers assembled from attention: under the law, and their sums written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from contract import verify
from torch import Tensor

from streamtrans.models.config import ModelConfig
from streamtrans.models.model import Encoder
from streamtrans.nn.blocks import DecoderLayer, EncoderLayer, FeedForward


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


def test_encoder_obeys_the_law() -> None:
    """Windows add up over layers: the top one sees further back than any single ring holds."""
    config = ModelConfig(
        name="toy", source="en", target="fr", vocabulary=10, dim=8, heads=2, hidden=12,
        encoder_layers=3, decoder_layers=1, window=4,
    )  # fmt: skip
    torch.manual_seed(0)
    verify(Encoder(config), random(3, 24, 8), piece=7)


def test_decoder_layer_while_the_source_grows() -> None:
    """Steps over the target between appends of source equal `forward` with what each step could
    see.
    """
    torch.manual_seed(0)
    layer = DecoderLayer(8, heads=2, hidden=12, window=3, source_cells=9, dropout=0.1)
    layer = layer.double().eval()
    x, memory = random(2, 7, 8), random(2, 9, 8)
    visible = torch.tensor([2, 2, 4, 5, 5, 9, 9])
    state, ys, seen = layer.init_state(2), [], 0
    for u, now in enumerate(visible.tolist()):
        if now > seen:
            state = layer.append(memory[:, seen:now], state, None)
            seen = now
        y, state = layer.step(x[:, u : u + 1], state)
        ys.append(y)
    torch.testing.assert_close(torch.cat(ys, dim=1), layer(x, memory, visible.expand(2, -1)))


def test_decoder_layer_is_its_sum() -> None:
    torch.manual_seed(0)
    layer = DecoderLayer(8, heads=2, hidden=12, window=3, source_cells=9, dropout=0.1)
    layer = layer.double().eval()
    x, memory = random(2, 7, 8), random(2, 9, 8)
    visible = torch.arange(1, 8).expand(2, -1)
    y = x + layer.attention(layer.attention_norm(x))
    y = y + layer.cross(layer.cross_norm(y), memory, visible)
    y = y + layer.feed(layer.feed_norm(y))
    torch.testing.assert_close(layer(x, memory, visible), y)
