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


@dataclass(frozen=True)
class ModelConfig:
    """A Transformer that streams from text to text.

    dim D, heads H, hidden: width of the feed-forward. window: positions that self-attention looks back. memory: source
    pieces a segment may have, with its end. words: source words a segment may have before it is cut.
    """

    name: str
    source: str
    target: str
    vocabulary: int
    kind: str = "text"
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

    def __post_init__(self) -> None:
        if self.kind != "text":
            raise ConfigError(f"kind {self.kind!r}: only text models exist so far")
        if self.dim % (2 * self.heads):
            raise ConfigError(f"dim {self.dim} must be a multiple of 2 x heads {self.heads}")
        for name in ("encoder_layers", "decoder_layers", "window", "memory", "words", "vocabulary"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
