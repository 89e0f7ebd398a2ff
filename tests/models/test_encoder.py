"""Encoders: the streaming ones under the law, all of them against torch's own modules with the same weights."""

from __future__ import annotations

import fakes
import pytest
import torch
import torch.nn.functional as F
from contract import verify
from torch import Tensor, nn

from streamtrans.models.config import ModelConfig
from streamtrans.models.encoder import (
    RecurrentEncoder,
    TransformerEncoder,
    build_encoder,
    turn_round,
)
from streamtrans.models.model import Model

DIM = 8
LENGTHS = torch.tensor([7, 2, 5])


def config(encoder: str, layers: int = 3, **changes: object) -> ModelConfig:
    values: dict[str, object] = dict(
        name="toy", source="en", target="fr", vocabulary=10, dim=DIM, heads=2, hidden=12,
        encoder=encoder, encoder_layers=layers, decoder_layers=1, window=4,
    )  # fmt: skip
    return ModelConfig(**(values | changes))  # type: ignore[arg-type]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(
    encoder: str, layers: int = 3, **changes: object
) -> TransformerEncoder | RecurrentEncoder:
    torch.manual_seed(0)
    return build_encoder(config(encoder, layers, **changes)).double().eval()


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm"])
def test_streaming_encoders_obey_the_law(kind: str) -> None:
    """Windows add up over layers: the top one sees further back than any single ring holds."""
    verify(built(kind), random(3, 24, DIM), piece=7)


def plain(kind: str, layer: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """One layer by torch's own, from a fresh module with the same weights; packed where rows are ragged."""
    module = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](DIM, DIM, batch_first=True).double()
    module.load_state_dict(layer.state_dict())
    if lengths is None:
        return module(x)[0]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True)[0]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_recurrent_encoder_is_torchs(kind: str) -> None:
    encoder = built(kind)
    assert isinstance(encoder, RecurrentEncoder)
    x = y = random(3, 7, DIM)
    for layer, norm in zip(encoder.ahead.layers, encoder.ahead.norms, strict=True):
        y = y + plain(kind, layer, F.layer_norm(y, (DIM,), norm.weight))
    torch.testing.assert_close(encoder(x), F.layer_norm(y, (DIM,), encoder.norm.weight))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_bidirectional_encoder_is_torchs(kind: str) -> None:
    """One layer each way of a packed batch, by torch's bidirectional module with the same weights."""
    encoder = built(kind, layers=1, bidirectional=True)
    assert isinstance(encoder, RecurrentEncoder)
    torch.nn.init.normal_(encoder.ahead.norms[0].weight)
    encoder.back.norms[0].load_state_dict(encoder.ahead.norms[0].state_dict())
    both = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](DIM, DIM, batch_first=True, bidirectional=True)
    ahead, back = (e.layers[0].state_dict() for e in (encoder.ahead, encoder.back))
    both.load_state_dict(ahead | {f"{name}_reverse": w for name, w in back.items()})
    x = random(3, 7, DIM)
    normed = F.layer_norm(x, (DIM,), encoder.ahead.norms[0].weight)
    packed = nn.utils.rnn.pack_padded_sequence(
        normed, LENGTHS, batch_first=True, enforce_sorted=False
    )
    y, _ = nn.utils.rnn.pad_packed_sequence(both.double()(packed)[0], batch_first=True)
    y = (y + torch.cat((x, x), dim=-1)) @ encoder.join.weight.T
    expected = F.layer_norm(y, (DIM,), encoder.norm.weight)
    actual = encoder(x, LENGTHS)
    for b, n in enumerate(LENGTHS):
        torch.testing.assert_close(actual[b, :n], expected[b, :n])


def test_a_bidirectional_transformer_sees_its_whole_row_and_no_padding() -> None:
    encoder = built("transformer", bidirectional=True)
    x = random(3, 7, DIM)
    y = encoder(x, LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(encoder(x[b : b + 1, :n], LENGTHS[b : b + 1]), y[b : b + 1, :n])
    changed = x.clone()
    changed[0, 6] = -changed[0, 6]
    assert (encoder(changed, LENGTHS)[0, 0] - y[0, 0]).abs().max() > 1e-6  # beyond the window of 4


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("reversed_source", [False, True])
def test_padding_of_a_batch_changes_nothing(
    kind: str, bidirectional: bool, reversed_source: bool
) -> None:
    changes = dict(encoder=kind, bidirectional=bidirectional, reversed_source=reversed_source)
    model = fakes.model(dim=8, heads=2, hidden=12, **changes)
    source = ragged(LENGTHS)
    memory = model.encode(source)
    for b, n in enumerate(LENGTHS):
        torch.testing.assert_close(model.encode(source[b : b + 1, :n])[0], memory[b, :n])


def ragged(lengths: Tensor) -> Tensor:
    """Ids of sentences that end in eos (3), padded with 0."""
    source = torch.randint(
        300, 340, (len(lengths), int(lengths.max())), generator=torch.Generator().manual_seed(5)
    )
    time = torch.arange(source.shape[1])
    source[time == lengths[:, None] - 1] = 3
    return source.masked_fill(time >= lengths[:, None], 0)


def test_turn_round_reverses_what_counts_and_keeps_the_rest() -> None:
    x = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    turned = turn_round(x, torch.tensor([4, 2, 1]))
    assert turned.tolist() == [[4, 3, 2, 1], [2, 1, 3, 4], [1, 2, 3, 4]]
    y = random(3, 4, 2)
    assert torch.equal(turn_round(y, torch.tensor([4, 2, 1]))[1], y[1, [1, 0, 2, 3]])


def test_a_reversed_source_is_reversed() -> None:
    """Sutskever et al. 2014: the last word first, the end still last; LSTM layers by torch's own."""
    model = fakes.system("lstm-reversed")
    encoder = model.encoder
    assert isinstance(encoder, RecurrentEncoder) and isinstance(model, Model)
    source, dim = ragged(LENGTHS), model.config.dim
    memory = model.encode(source)
    for b, n in enumerate(LENGTHS.tolist()):
        ids = [*source[b, : n - 1].flip(0).tolist(), 3]
        y = F.embedding(torch.tensor([ids]), model.embedding.weight) * dim**0.5
        for layer, norm in zip(encoder.ahead.layers, encoder.ahead.norms, strict=True):
            lstm = nn.LSTM(dim, dim, batch_first=True).double()
            lstm.load_state_dict(layer.state_dict())
            y = y + lstm(F.layer_norm(y, (dim,), norm.weight))[0]
        expected = F.layer_norm(y, (dim,), encoder.norm.weight)
        torch.testing.assert_close(memory[b : b + 1, :n], expected)
