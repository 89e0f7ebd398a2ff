"""GRU and LSTM against their equations written as loops, and under the law."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import verify
from torch import Tensor, nn

from streamtrans.nn.recurrent import GRU, LSTM

Kind = type[GRU] | type[LSTM]


def random(*shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def gates(
    layer: nn.Module, x: Tensor, hidden: Tensor, count: int
) -> tuple[list[Tensor], list[Tensor]]:
    """What the input and what the hidden vector say to each gate."""
    ih, hh, b_ih, b_hh = list(layer.parameters())
    of_input, of_hidden = x @ ih.T + b_ih, hidden @ hh.T + b_hh
    return list(of_input.chunk(count, -1)), list(of_hidden.chunk(count, -1))


def gru_loop(layer: nn.Module, x: Tensor, size: int) -> Tensor:
    """Cho et al. 2014, eq. 5 to 8, the reset gate after the product. (B, T, D) -> (B, T, H)."""
    hidden, ys = torch.zeros(len(x), size, dtype=x.dtype), []
    for frame in x.unbind(1):
        (ri, zi, ni), (rh, zh, nh) = gates(layer, frame, hidden, 3)
        reset, update = torch.sigmoid(ri + rh), torch.sigmoid(zi + zh)
        hidden = (1 - update) * torch.tanh(ni + reset * nh) + update * hidden
        ys.append(hidden)
    return torch.stack(ys, dim=1)


def lstm_loop(layer: nn.Module, x: Tensor, size: int) -> Tensor:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000. (B, T, D) -> (B, T,
    H).
    """
    hidden, ys = torch.zeros(len(x), size, dtype=x.dtype), []
    cell = hidden
    for frame in x.unbind(1):
        of_input, of_hidden = gates(layer, frame, hidden, 4)
        i, f, g, o = (a + b for a, b in zip(of_input, of_hidden, strict=True))
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        ys.append(hidden)
    return torch.stack(ys, dim=1)


def build(kind: Kind, dim: int, hidden: int, layers: int, residual: bool, norm: bool) -> GRU | LSTM:
    torch.manual_seed(0)
    return kind(dim, hidden, layers, residual=residual, norm=norm).double()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(("kind", "loop"), [(GRU, gru_loop), (LSTM, lstm_loop)])
def test_forward_is_the_equations(kind: Kind, loop: object, residual: bool, norm: bool) -> None:
    assert callable(loop)
    x = random(2, 7, 6)
    module = build(kind, 6, 6, 3, residual, norm)
    expected = x
    for layer in module.layers:
        y = loop(layer, F.layer_norm(expected, (6,)) if norm else expected, 6)
        expected = expected + y if residual else y
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_obeys_the_law(kind: Kind, residual: bool, norm: bool) -> None:
    verify(build(kind, 6, 6, 3, residual, norm), random(3, 15, 6))


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_hidden_of_another_size(kind: Kind) -> None:
    module = build(kind, 4, 7, 2, residual=False, norm=True)
    assert module(random(2, 5, 4)).shape == (2, 5, 7)
    verify(module, random(2, 9, 4))


def test_a_ragged_step_is_torchs_packed_sequence() -> None:
    """The last state of a short row is that of its last frame, not of the padding behind it."""
    gru, lstm = GRU(6, 5).double(), LSTM(6, 5).double()
    x, lengths = random(3, 8, 6), torch.tensor([8, 1, 5])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, hidden = gru.layers[0](packed)
    _, state = gru.step(x, gru.init_state(3), lengths)
    torch.testing.assert_close(state.hidden.transpose(0, 1), hidden)
    _, (hidden, cell) = lstm.layers[0](packed)
    _, both = lstm.step(x, lstm.init_state(3), lengths)
    torch.testing.assert_close(both.hidden.transpose(0, 1), hidden)
    torch.testing.assert_close(both.cell.transpose(0, 1), cell)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_gradients_reach_every_weight(kind: Kind) -> None:
    module = build(kind, 6, 6, 2, residual=True, norm=True)
    module(random(2, 5, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in module.parameters())


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_what_cannot_be_built_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="dim 4 and hidden 6"):
        kind(4, 6, residual=True)
    with pytest.raises(ValueError, match="layers"):
        kind(4, 6, layers=0)
