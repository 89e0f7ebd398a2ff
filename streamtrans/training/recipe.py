"""A recipe: all that determines a training run, read from TOML into frozen values. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamtrans.models.config import ConfigError, build


@dataclass(frozen=True)
class Corpus:
    """A file of pairs, source TAB target (further columns are ignored), plain or .xz, in the data folder.

    A path that is not there is looked for beside the shipped recipes. repeat: how often an epoch holds it. words: the
    longest source kept. plain: as people type and recognisers write, without capitals and final punctuation.
    """

    path: str
    repeat: int = 1
    words: int = 60
    plain: bool = False


@dataclass(frozen=True)
class Optimizer:
    """Muon (Jordan et al. 2024) for the matrices of the layers, AdamW for embedding and norms.

    The rate rises over `warmup` steps, stays, and falls linearly to zero over the last `decay` share of all steps.
    """

    rate: float = 2e-3
    embedding_rate: float = 2e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    warmup: int = 150
    decay: float = 0.4


@dataclass(frozen=True)
class Recipe:
    """A run. tokens: target pieces a step, padding included; `lowest_k` to `highest_k` are drawn evenly for each
    sentence, and `full` of them see the whole source instead.
    """

    name: str
    model: dict[str, Any]
    train: tuple[Corpus, ...]
    dev: tuple[Corpus, ...]
    steps: int
    optimizer: Optimizer = Optimizer()
    vocabulary: int = 8000
    vocabulary_lines: int = 400_000
    tokens: int = 4096
    smoothing: float = 0.1
    lowest_k: int = 1
    highest_k: int = 9
    full: float = 0.15
    seed: int = 1
    checkpoint_every: int = 500
    keep: int = 5
    average: int = 3


def find_recipe(name: str) -> Path:
    """A recipe file, or one that is shipped, by its name without `.toml`. Raises ConfigError."""
    shipped = Path(__file__).parent / "recipes"
    for path in (Path(name), shipped / f"{name}.toml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
    raise ConfigError(f"no recipe {name!r}: shipped are {known}, or give a file")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises ConfigError on a key or a table that does not exist."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for split in ("train", "dev"):
        tables = values.get(split, [])
        values[split] = tuple(build(Corpus, t, f"{path}: {split}") for t in tables)
        if not tables:
            raise ConfigError(f"{path}: no [[{split}]] corpus")
    values["optimizer"] = build(Optimizer, values.get("optimizer", {}), f"{path}: optimizer")
    return build(Recipe, values, str(path))
