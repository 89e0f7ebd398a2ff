"""Encoders: embedded source pieces in, source memory out. Streaming ones obey the law; offline ones see the whole
sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from streamtrans.models.config import ModelConfig
from streamtrans.nn.blocks import EncoderLayer
from streamtrans.nn.cache import KeyValueCache
from streamtrans.nn.recurrent import GRU, LSTM, Recurrent
from streamtrans.nn.streaming import State, Streaming


@dataclass
class EncoderState(State):
    """One cache a layer."""

    layers: tuple[KeyValueCache, ...]


class TransformerEncoder(Streaming[EncoderState]):
    """A stack of causal layers; with `lengths`, `forward` lets every position see its whole row instead."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = config
        self.layers = nn.ModuleList(
            EncoderLayer(c.dim, c.heads, c.hidden, c.window, c.dropout)
            for _ in range(c.encoder_layers)
        )
        self.norm = nn.LayerNorm(c.dim, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        mask = None
        if lengths is not None:
            mask = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[:, None, None]
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)

    def init_state(self, batch: int) -> EncoderState:
        """Empty caches."""
        return EncoderState(tuple(layer.init_state(batch) for layer in self._stack()))

    def step(
        self, x: Tensor, state: EncoderState, lengths: Tensor | None = None
    ) -> tuple[Tensor, EncoderState]:
        """(B, T, D), state -> (B, T, D), state."""
        stack, caches = self._stack(), []
        plan = stack[0].attention.plan(state.layers[0], x.shape[1], lengths)
        for layer, cache in zip(stack, state.layers, strict=True):
            x, cache = layer.step(x, cache, lengths, plan)
            caches.append(cache)
        return self.norm(x), EncoderState(tuple(caches))

    def _stack(self) -> list[EncoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, EncoderLayer)]


def recurrent(config: ModelConfig, kind: str, layers: int) -> Recurrent[Any]:
    """GRU or LSTM: deep, residual, with layer norm."""
    stack = GRU if kind == "gru" else LSTM
    return stack(config.dim, config.dim, layers, residual=True, norm=True, dropout=config.dropout)


class RecurrentEncoder(Streaming[State]):
    """A recurrent stack and a last layer norm. If the config says `bidirectional` a second stack reads from the end,
    and `forward` joins the two (Schuster & Paliwal 1997): an offline encoder, whose `step` does not exist.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ahead = recurrent(config, config.encoder, config.encoder_layers)
        self.norm = nn.LayerNorm(config.dim, bias=False)
        if config.bidirectional:
            self.back = recurrent(config, config.encoder, config.encoder_layers)
            self.join = nn.Linear(2 * config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        y = self.ahead(x)
        if lengths is not None:
            back = turn_round(self.back(turn_round(x, lengths)), lengths)
            y = self.join(torch.cat((y, back), dim=-1))
        return self.norm(y)

    def init_state(self, batch: int) -> State:
        """Zeros."""
        return self.ahead.init_state(batch)

    def step(self, x: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """(B, T, D), state -> (B, T, D), state."""
        y, state = self.ahead.step(x, state, lengths)
        return self.norm(y), state


def turn_round(x: Tensor, lengths: Tensor) -> Tensor:
    """The first `lengths` (B,) positions of each row in reverse order, the rest where it is. x: (B, T, ...)."""
    time = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    index = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)
    return x[torch.arange(len(x), device=x.device)[:, None], index]


def build_encoder(config: ModelConfig) -> TransformerEncoder | RecurrentEncoder:
    """The encoder a config names."""
    return (
        TransformerEncoder(config) if config.encoder == "transformer" else RecurrentEncoder(config)
    )
