"""The embedded models, each a folder with its checkpoint and its card."""

from __future__ import annotations

from pathlib import Path


class UnknownModel(ValueError):
    """Neither the name of an embedded model nor the folder of a checkpoint."""


def names() -> list[str]:
    """The embedded models."""
    here = Path(__file__).parent
    return sorted(p.parent.name for p in here.glob("*/model.safetensors"))


def find(name: str) -> Path:
    """The folder of an embedded model, or of a checkpoint. Raises UnknownModel, which says what there is."""
    embedded = Path(__file__).parent / name
    for folder in (embedded, Path(name)):
        if (folder / "model.safetensors").is_file():
            return folder
    raise UnknownModel(
        f"no model {name!r}: embedded are {', '.join(names())}, or give the folder of a checkpoint"
    )
