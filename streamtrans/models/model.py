"""A sequence-to-sequence model that READs source pieces and WRITEs target pieces, each row at its own position.

It knows token ids, and that cross-attention sees exactly what was READ. It knows no words, policies or sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.models.config import ModelConfig
from streamtrans.nn.blocks import DecoderLayer, DecoderLayerState, EncoderLayer
from streamtrans.nn.cache import KeyValueCache
from streamtrans.nn.streaming import State, Streaming


@dataclass
class EncoderState(State):
    """One cache a layer."""

    layers: tuple[KeyValueCache, ...]


class Encoder(Streaming[EncoderState]):
    """A stack of causal layers over embedded source pieces."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = config
        self.layers = nn.ModuleList(
            EncoderLayer(c.dim, c.heads, c.hidden, c.window, c.dropout)
            for _ in range(c.encoder_layers)
        )
        self.norm = nn.LayerNorm(c.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        for layer in self.layers:
            x = layer(x)
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


@dataclass
class ModelState(State):
    """All that a session's rows carry from READ to WRITE and on."""

    encoder: EncoderState
    decoder: tuple[DecoderLayerState, ...]


class Model(nn.Module):
    """Encoder, decoder and one embedding for source, target and output (tied)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = self.config = config
        self.embedding = nn.Embedding(c.vocabulary, c.dim)
        self.encoder = Encoder(c)
        self.decoder = nn.ModuleList(
            DecoderLayer(c.dim, c.heads, c.hidden, c.window, c.memory, c.dropout)
            for _ in range(c.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(c.dim, bias=False)
        self.scale = c.dim**0.5
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, source: Tensor, target: Tensor, visible: Tensor) -> Tensor:
        """Decoder outputs before the output projection, for training.

        source: (B, S) ids, target: (B, U) ids shifted right, visible: (B, U) source pieces READ before target piece u
        is written -> (B, U, D).
        """
        memory = self.encoder(self._embed(source))
        x = self._embed(target)
        for layer in self.decoder:
            x = layer(x, memory, visible)
        return self.decoder_norm(x)

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return F.linear(x, self.embedding.weight)

    def init_state(self, batch: int) -> ModelState:
        """Nothing READ, nothing written."""
        decoder = tuple(layer.init_state(batch) for layer in self._stack())
        return ModelState(self.encoder.init_state(batch), decoder)

    def read(self, pieces: Tensor, state: ModelState, lengths: Tensor | None = None) -> ModelState:
        """One encoder step; its output joins the source memory of each decoder layer. pieces: (B, T)."""
        memory, encoder = self.encoder.step(self._embed(pieces), state.encoder, lengths)
        cells = state.decoder[0].source.cells_for(pieces.shape[1], lengths)
        layers = zip(self._stack(), state.decoder, strict=True)
        return ModelState(encoder, tuple(d.append(memory, s, lengths, cells) for d, s in layers))

    def write(self, previous: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """One decoder step. previous: (B,) the piece written last (bos at first) -> logits (B, V), state."""
        x = self._embed(previous[:, None])
        stack, layers = self._stack(), []
        plan = stack[0].plan(state.decoder[0], 1)
        for layer, own in zip(stack, state.decoder, strict=True):
            x, own = layer.step(x, own, plan)
            layers.append(own)
        logits = self.logits(self.decoder_norm(x[:, 0]))
        return logits, ModelState(state.encoder, tuple(layers))

    def _embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * self.scale

    def _stack(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]


@torch.no_grad()
def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of some checkpoints' weights (Vaswani et al. 2017, section 6.1)."""
    return {name: torch.stack([s[name].float() for s in states]).mean(0) for name in states[0]}
