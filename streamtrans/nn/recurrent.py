"""Recurrent layers that stream: what they carry from one piece to the next is a vector or two a
layer, not a past.

It knows gates and layers as torch computes them. It does not know tokens, attention or how far back
anyone may look.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtrans.nn.streaming import S, State, Streaming


@dataclass
class GRUState(State):
    """hidden: (B, L, H), one vector a layer."""

    hidden: Tensor


@dataclass
class LSTMState(State):
    """hidden, cell: (B, L, H), two vectors a layer."""

    hidden: Tensor
    cell: Tensor


class Recurrent(Streaming[S]):
    """A stack of recurrent layers; each may be normalised before and added to its input after
    (pre-norm, as in blocks).

    dim D in, hidden H out of each of `layers`. norm: layer norm (Ba et al. 2016) on each layer's
    input. residual: each layer's output is added to its input, which needs D = H; ValueError
    otherwise. dropout: on each layer's output, not within time (Zaremba et al. 2014).
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        layers: int = 1,
        residual: bool = False,
        norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1, not {layers}")
        if residual and dim != hidden:
            raise ValueError(f"a residual connection needs dim {dim} and hidden {hidden} alike")
        self.hidden, self.residual = hidden, residual
        sizes = [dim] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(self._layer(size, hidden) for size in sizes)
        self.dropout = nn.Dropout(dropout)
        self.norms = nn.ModuleList(
            nn.LayerNorm(size, bias=False) if norm else nn.Identity() for size in sizes
        )

    @abstractmethod
    def _layer(self, dim: int, hidden: int) -> nn.RNNBase:
        """One layer, batch first."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, H)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = self.dropout(layer(norm(x))[0])
            x = x + y if self.residual else y
        return x

    def _zeros(self, batch: int) -> Tensor:
        device, dtype = self.place()
        return torch.zeros(batch, len(self.layers), self.hidden, device=device, dtype=dtype)


class GRU(Recurrent[GRUState]):
    """Gated recurrent units (Cho et al. 2014, eq. 5 to 8), the reset gate applied after the
    product, as cuDNN does.
    """

    def _layer(self, dim: int, hidden: int) -> nn.RNNBase:
        return nn.GRU(dim, hidden, batch_first=True)

    def init_state(self, batch: int) -> GRUState:
        """Zeros, as the paper starts."""
        return GRUState(self._zeros(batch))

    def step(
        self, x: Tensor, state: GRUState, lengths: Tensor | None = None
    ) -> tuple[Tensor, GRUState]:
        """(B, T, D), state -> (B, T, H), state.

        The hidden vector is the output, so a row's next state is its output at its last frame that
        counts: no packing, no waiting for a device to tell the lengths.
        """
        last = None
        if lengths is not None:
            last = (lengths - 1)[:, None, None].expand(-1, 1, self.hidden)
        kept = []
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            y, _ = layer(norm(x), state.hidden[None, :, i].contiguous())
            kept.append(y[:, -1] if last is None else y.gather(1, last)[:, 0])
            x = x + y if self.residual else y
        return x, GRUState(torch.stack(kept, dim=1))


class LSTM(Recurrent[LSTMState]):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate (Gers et al.
    2000, eq. 3 to 6).
    """

    def _layer(self, dim: int, hidden: int) -> nn.RNNBase:
        return nn.LSTM(dim, hidden, batch_first=True)

    def init_state(self, batch: int) -> LSTMState:
        """Zeros."""
        return LSTMState(self._zeros(batch), self._zeros(batch))

    def step(
        self, x: Tensor, state: LSTMState, lengths: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """(B, T, D), state -> (B, T, H), state.

        torch tells the cell at the last frame only, so rows of unlike lengths go frame by frame,
        and a row that is over keeps what it has.
        """
        hidden, cell = [], []
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            kept = state.hidden[None, :, i].contiguous(), state.cell[None, :, i].contiguous()
            if lengths is None:
                y, kept = layer(norm(x), kept)
            else:
                y, kept = _ragged(layer, norm(x), kept, lengths)
            hidden.append(kept[0][0])
            cell.append(kept[1][0])
            x = x + y if self.residual else y
        return x, LSTMState(torch.stack(hidden, dim=1), torch.stack(cell, dim=1))


def _ragged(
    layer: nn.Module, x: Tensor, kept: tuple[Tensor, Tensor], lengths: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    outputs = []
    for time in range(x.shape[1]):
        y, new = layer(x[:, time : time + 1], kept)
        counts = (time < lengths)[:, None]  # (B, 1)
        kept = torch.where(counts, new[0], kept[0]), torch.where(counts, new[1], kept[1])
        outputs.append(y)
    return torch.cat(outputs, dim=1), kept
