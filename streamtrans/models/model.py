"""A sequence-to-sequence model that READs source pieces and WRITEs target pieces, each row at its own position.

It is assembled from an encoder, a cross-attention and a decoder by its config. A source piece is a token id or, for a
direct model of speech, the state of a heard piece. It knows ids and states, and that cross-attention sees exactly what
was READ. It knows no words, policies or sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamtrans.models.config import ModelConfig
from streamtrans.models.encoder import build_encoder, recurrent, turn_round
from streamtrans.nn.blocks import (
    DecoderLayer,
    DecoderLayerState,
    RecurrentDecoderLayer,
    TransformerDecoderLayer,
)
from streamtrans.nn.cross import Cross, CrossAttention, FixedContext
from streamtrans.nn.monotonic_attention import MonotonicAttention
from streamtrans.nn.streaming import State
from streamtrans.text.vocabulary import Vocabulary


@dataclass
class ModelState(State):
    """All that a session's rows carry from READ to WRITE and on."""

    encoder: Any
    decoder: tuple[DecoderLayerState, ...]


class PolicyHead(nn.Module):
    """How likely the next piece stays as it is however much more source comes, from the decoder's output and how sure
    the output layer is. Trained on a frozen model: see `training.objective`.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim + 2, dim)
        self.out = nn.Linear(dim, 1)

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """x: (..., D), logits: (..., V) -> (...) in nats of odds; the sigmoid is the confidence."""
        top = logits.topk(2, dim=-1).values - logits.logsumexp(-1, keepdim=True)
        return self.out(F.silu(self.hidden(torch.cat((x, top.to(x.dtype)), dim=-1))))[..., 0]


class Model(nn.Module):
    """Encoder, decoder and one embedding for source, target and output (tied); in a direct model an input layer stands
    in place of the source embedding.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = self.config = config
        self.embedding = nn.Embedding(c.vocabulary, c.dim)
        self.input = nn.Linear(c.states, c.dim) if c.direct else None
        self.encoder = build_encoder(c)
        self.decoder = nn.ModuleList(_decoder_layer(c, i) for i in range(c.decoder_layers))
        self.decoder_norm = nn.LayerNorm(c.dim, bias=False)
        self.head = PolicyHead(c.dim) if c.policy_head else None
        self.scale = c.dim**0.5
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, source: Tensor, target: Tensor, visible: Tensor) -> Tensor:
        """Decoder outputs before the output projection: `align` without the alignments."""
        return self.align(source, target, visible)[0]

    def align(
        self, source: Tensor, target: Tensor, visible: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Decoder outputs before the output projection, for training, and the expected alignments of monotonic
        attention.

        source: (B, S) ids or (B, S, states), target: (B, U) ids shifted right, visible: (B, U) source pieces READ
        before target piece u is written -> (B, U, D), and (B, H, U, S) for each layer that learns when to WRITE.
        """
        memory = self.encode(source)
        x, alignments = self._embed(target), []
        for layer in self.decoder:
            x, alignment = layer(x, memory, visible)
            if alignment is not None:
                alignments.append(alignment)
        return self.decoder_norm(x), tuple(alignments)

    def encode(self, source: Tensor) -> Tensor:
        """Whole sentences: (B, S) ids ending in eos, padded with pad, or (B, S, states) -> (B, S, D)."""
        if not self.config.offline:
            return self.encoder(self._enter(source))
        lengths = (source != Vocabulary.pad).sum(1)
        if self.config.reversed_source:
            source = turn_round(source, lengths - 1)
        return self.encoder(self._embed(source), lengths if self.config.bidirectional else None)

    def logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return F.linear(x, self.embedding.weight)

    def init_state(self, batch: int) -> ModelState:
        """Nothing READ, nothing written."""
        decoder = tuple(layer.init_state(batch) for layer in self._stack())
        return ModelState(self.encoder.init_state(batch), decoder)

    def read(self, pieces: Tensor, state: ModelState, lengths: Tensor | None = None) -> ModelState:
        """One encoder step; its output joins the source memory of each decoder layer. pieces: (B, T) ids or
        (B, T, states), T at most `window`; lengths: (B,) of the T that count.

        An offline model takes the whole sentence, padded, in its one READ.
        """
        encoder = state.encoder
        if self.config.offline:
            memory, lengths = self.encode(pieces), (pieces != Vocabulary.pad).sum(1)
        else:
            memory, encoder = self.encoder.step(self._enter(pieces), encoder, lengths)
        stack = self._stack()
        cells = stack[0].cells(state.decoder[0], pieces.shape[1], lengths)
        layers = zip(stack, state.decoder, strict=True)
        return ModelState(encoder, tuple(d.append(memory, s, lengths, cells) for d, s in layers))

    def write(
        self, previous: Tensor, state: ModelState
    ) -> tuple[Tensor, Tensor | None, ModelState]:
        """One decoder step. previous: (B,) the piece written last (bos at first) -> logits (B, V), confidence, state.

        confidence: (B,) in 0..1, how sure the model is that what was READ is enough for this piece: the policy head's
        probability, or for monotonic attention 1 where all heads found where to stop, else 0. None if it cannot tell.
        A state that is not kept leaves no trace.
        """
        x = self._embed(previous[:, None])
        stack, layers, stops = self._stack(), [], []
        plan = stack[0].plan(state.decoder[0], 1)
        for layer, own in zip(stack, state.decoder, strict=True):
            x, stopped, own = layer.step(x, own, plan)
            layers.append(own)
            if stopped is not None:
                stops.append(stopped)
        x = self.decoder_norm(x[:, 0])
        logits = self.logits(x)
        confidence = None
        if stops:
            confidence = torch.stack(stops).all(0).float()
        elif self.head is not None:
            confidence = self.head(x, logits).float().sigmoid()
        return logits, confidence, ModelState(state.encoder, tuple(layers))

    def _enter(self, source: Tensor) -> Tensor:
        return self._embed(source) if self.input is None else self.input(source)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * self.scale

    def _stack(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]


def _decoder_layer(config: ModelConfig, number: int) -> DecoderLayer:
    """A Transformer looks at the source in each layer, a recurrent decoder in its first."""
    c = config
    if c.decoder == "transformer":
        return TransformerDecoderLayer(c.dim, c.heads, c.hidden, c.window, _cross(c), c.dropout)
    cross = _cross(c) if number == 0 else None
    return RecurrentDecoderLayer(c.dim, recurrent(c, c.decoder, 1), cross, c.dropout)


def _cross(config: ModelConfig) -> Cross[Any]:
    c = config
    if c.attention == "fixed":
        return FixedContext(c.dim)
    if c.monotonic:
        lookback = {"hard-monotonic": 1, "mocha": c.chunk, "infinite-lookback": None}[c.attention]
        return MonotonicAttention(c.dim, c.heads, c.memory, lookback, c.energy == "additive")
    heads = c.heads if c.attention == "multi-head" else 1
    return CrossAttention(c.dim, heads, c.memory, additive=c.attention == "additive")


@torch.no_grad()
def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of some checkpoints' weights (Vaswani et al. 2017, section 6.1)."""
    return {name: torch.stack([s[name].float() for s in states]).mean(0) for name in states[0]}
