"""A recipe: all that determines a training run, read from TOML into frozen values. Unknown keys are errors.

`TASK/SYSTEM` names a shipped task (data, languages, budget) with one of the systems of systems.toml in it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamtrans.models.config import ConfigError, build

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Corpus:
    """A file of pairs, source TAB target (further columns are ignored), plain or .xz, in the data folder; or, with
    `target`, a file of sources and one of their targets, line by line.

    A path that is not there is looked for beside the shipped recipes. repeat: how often an epoch holds it. words: the
    longest source kept. plain: as people type and recognisers write, without capitals and final punctuation.
    """

    path: str
    target: str = ""
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

    sampling: share of target inputs that are the model's own predictions at the end of the run, rising from 0
    (scheduled sampling). latency, variance: weights of the latency losses of monotonic attention. start: another run
    in the same folder of runs whose result this one begins with. teacher: another run there, whose `distilled.tsv`
    takes the place of the training corpora (`streamtrans distill`). objective: `translation`, or `policy`, which
    trains the policy head of the model of `start` and nothing else.
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
    sampling: float = 0.0
    latency: float = 0.0
    variance: float = 0.0
    objective: str = "translation"
    start: str = ""
    teacher: str = ""
    seed: int = 1
    checkpoint_every: int = 500
    keep: int = 5
    average: int = 3

    def __post_init__(self) -> None:
        if self.objective not in ("translation", "policy"):
            raise ConfigError(f"objective {self.objective!r}: known are translation, policy")
        if self.objective == "policy" and not self.start:
            raise ConfigError("the objective `policy` needs `start`: a trained model to begin with")
        if self.objective == "policy" and not self.model.get("policy_head"):
            raise ConfigError("the objective `policy` needs a model with `policy_head = true`")


def load_recipe(name: str | Path) -> Recipe:
    """A recipe file, or a shipped recipe by its name: `en-fr-text`, or TASK/SYSTEM as in `multi30k.en-fr/mma-il`.

    Raises ConfigError on a name, a key or a table that does not exist.
    """
    if Path(name).suffix == ".toml":
        return _recipe(_toml(Path(name)), str(name))
    task, _, system = str(name).partition("/")
    systems = _toml(RECIPES / "systems.toml")
    path = RECIPES / f"{task}.toml"
    if task == "systems" or not path.is_file() or (system and system not in systems):
        known = sorted(p.stem for p in RECIPES.glob("*.toml") if p.stem != "systems")
        raise ConfigError(
            f"no recipe {str(name)!r}: shipped are {', '.join(known)}, or one of them with a system after a slash "
            f"({', '.join(systems)}), or give a .toml file"
        )
    values = _toml(path)
    if system:
        values = _merged(values, systems[system])
        values["name"] = f"{task}/{system}"
        values["model"]["name"] = f"{system}.{values['model']['name']}"
    return _recipe(values, str(name))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Tables of both, `over` before `base`."""
    tables = {k: _merged(base.get(k, {}), v) for k, v in over.items() if isinstance(v, dict)}
    return {**base, **over, **tables}


def _recipe(values: dict[str, Any], where: str) -> Recipe:
    for split in ("train", "dev"):
        tables = values.get(split, [])
        values[split] = tuple(build(Corpus, t, f"{where}: {split}") for t in tables)
        if not tables:
            raise ConfigError(f"{where}: no [[{split}]] corpus")
    values["optimizer"] = build(Optimizer, values.get("optimizer", {}), f"{where}: optimizer")
    return build(Recipe, values, where)
