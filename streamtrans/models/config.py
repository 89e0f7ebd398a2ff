"""What a model is built from: a frozen value that travels with its weights as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

C = TypeVar("C")


class ConfigError(ValueError):
    """A configuration that cannot be meant: an unknown key or a value out of range."""


def build(cls: type[C], values: dict[str, Any], where: str) -> C:
    """A frozen dataclass from a table of values. Raises ConfigError: a key unknown, missing or of a wrong type."""
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise ConfigError(
            f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(known)}"
        )
    try:
        return msgspec.convert(values, cls, from_attributes=True)
    except (TypeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from error


STACKS = ("transformer", "gru", "lstm")
ATTENTIONS = ("fixed", "additive", "dot", "multi-head")
MONOTONIC = ("hard-monotonic", "mocha", "infinite-lookback")


@dataclass(frozen=True)
class ModelConfig:
    """A sequence-to-sequence model, assembled from an encoder, an attention and a decoder.

    encoder, decoder: `transformer`, `gru` or `lstm`. attention: what the decoder sees of the source: `fixed` (the
    encoder's last output), `additive`, `dot` (one head each), `multi-head`, or a monotonic one, which learns when to
    WRITE: `hard-monotonic`, `mocha`, `infinite-lookback` (with a Transformer decoder these are MMA-H and MMA-IL).
    energy: how monotonic attention scores, `additive` or `dot`; chunk: positions MoChA looks back over.

    bidirectional, reversed_source: encoders that need the whole sentence; such a model is `offline`. policy_head: a
    learned estimate, beside the output, of whether more source would change the next piece.

    dim D, heads H, hidden: width of the feed-forward. window: positions that self-attention looks back. memory: source
    pieces a segment may have, with its end. words: source words a segment may have before it is cut. states: 0, it
    READs pieces of text; else it READs states of the recogniser, of this dim, one for each heard piece: it is `direct`.
    """

    name: str
    source: str
    target: str
    vocabulary: int
    kind: str = "text"
    encoder: str = "transformer"
    decoder: str = "transformer"
    attention: str = "multi-head"
    energy: str = "dot"
    chunk: int = 4
    bidirectional: bool = False
    reversed_source: bool = False
    policy_head: bool = False
    dim: int = 256
    heads: int = 4
    hidden: int = 704
    encoder_layers: int = 6
    decoder_layers: int = 3
    window: int = 128
    memory: int = 256
    words: int = 60
    dropout: float = 0.1
    policy: str = "wait-3"
    states: int = 0

    @property
    def direct(self) -> bool:
        """It translates speech without words between: what it READs are states of a recogniser."""
        return self.states > 0

    @property
    def offline(self) -> bool:
        """It needs the whole sentence before the first step, so it cannot serve live sessions."""
        return self.bidirectional or self.reversed_source

    @property
    def monotonic(self) -> bool:
        """Its attention learns when to WRITE."""
        return self.attention in MONOTONIC

    @property
    def decides(self) -> bool:
        """It can run the learned policies."""
        return self.monotonic or self.policy_head

    def __post_init__(self) -> None:
        for name, known in (
            ("kind", ("text",)),
            ("encoder", STACKS),
            ("decoder", STACKS),
            ("attention", ATTENTIONS + MONOTONIC),
            ("energy", ("dot", "additive")),
        ):
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"{name} {value!r}: known are {', '.join(known)}")
        if self.dim % (2 * self.heads):
            raise ConfigError(f"dim {self.dim} must be a multiple of 2 x heads {self.heads}")
        for name in ("encoder_layers", "decoder_layers", "window", "memory", "words", "vocabulary"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
        if self.chunk < 1:
            raise ConfigError("chunk must be at least 1")
        if self.states < 0:
            raise ConfigError("states must be at least 0")
        if self.direct and self.offline:
            raise ConfigError("states come as they are heard: no bidirectional or reversed source")
        if self.monotonic and self.policy_head:
            raise ConfigError("monotonic attention decides by itself: no policy_head beside it")
