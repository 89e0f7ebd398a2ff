"""The embedded models, each a folder with its checkpoint and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class UnknownModel(ValueError):
    """Neither the name of an embedded model nor the folder of a checkpoint."""


SPEECH = "-speech"  # how the names of recognisers end


def names() -> list[str]:
    """The embedded text models."""
    here = Path(__file__).parent
    found = (p.parent.name for p in here.glob("*/model.safetensors"))
    return sorted(name for name in found if not name.endswith(SPEECH))


def recognizers() -> list[str]:
    """The embedded recognisers."""
    return sorted(p.parent.name for p in Path(__file__).parent.glob(f"*{SPEECH}/model.safetensors"))


def find(name: str) -> Path:
    """The folder of an embedded model, or of a checkpoint. Raises UnknownModel, which says what there is."""
    embedded = Path(__file__).parent / name
    for folder in (embedded, Path(name)):
        if (folder / "model.safetensors").is_file():
            return folder
    raise UnknownModel(
        f"no model {name!r}: embedded are {', '.join(names())}, or give the folder of a checkpoint"
    )


def languages(name: str) -> tuple[str, str]:
    """Source and target of a model. Raises UnknownModel."""
    config = _config(name)
    return config["source"], config["target"]


def direct(name: str) -> bool:
    """Does a model translate speech only, without words between? Raises UnknownModel."""
    return bool(_config(name).get("states"))


def _config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((find(name) / "config.json").read_text(encoding="utf-8"))
    return found


def find_recognizer(name: str, language: str, model: Path | None = None) -> Path | None:
    """The folder of a recogniser: of the embedded one of a language for `auto`, if there is one; None for `none`; else
    of a checkpoint. model: the folder of the text model that it is for; if there is a recogniser in it, as in that of a
    direct model, it is that one and no other. Raises UnknownModel.
    """
    own = model / "recognizer" if model is not None else None
    if own is not None and (own / "model.safetensors").is_file():
        if name != "auto":
            raise UnknownModel(f"{model} hears with its own recogniser and no other")
        return own
    if name == "none":
        return None
    here = Path(__file__).parent
    embedded, given = here / f"{language}{SPEECH}", Path(name)
    folder = embedded if name == "auto" else here / name if (here / name).is_dir() else given
    if (folder / "model.safetensors").is_file():
        return folder
    if name == "auto":
        return None
    raise UnknownModel(f"no recogniser {name!r}: give auto, none or the folder of a checkpoint")
