"""A recipe: all that determines a training run, read from TOML into frozen values. Unknown keys are errors.

`kind` in the file says which: `text` (`Recipe`, the default), `speech` (`SpeechRecipe`, a recogniser) or `direct`
(`DirectRecipe`, translation of speech without words between).
`TASK/SYSTEM` names a shipped task (data, languages, budget) with one of the systems of systems.toml in it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamtrans.models.config import ConfigError, build
from streamtrans.training.augmentation import Augmentation, SpecAugment

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Corpus:
    """A file of pairs, source TAB target (further columns are ignored), plain or .xz, in the data folder; or, with
    `target`, a file of sources and one of their targets, line by line.

    A path that is not there is looked for beside the shipped recipes. repeat: how often an epoch holds it. words: the
    longest source kept. plain: as people type, without capitals and final punctuation. spoken: a language; sources
    as they are READ when they are heard (text/heard.py), targets as they stand. swap:
    target TAB source. simplified: Chinese sources in Simplified characters. without: other such files, whose sources
    are left out here, however they are punctuated. joined: so many pairs become one, as long texts have them.
    """

    path: str
    target: str = ""
    repeat: int = 1
    words: int = 60
    plain: bool = False
    spoken: str = ""
    swap: bool = False
    simplified: bool = False
    without: tuple[str, ...] = ()
    joined: int = 1

    def __post_init__(self) -> None:
        if self.joined < 1:
            raise ConfigError("joined must be at least 1")


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


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every run has. start: what it begins with: the result of another run in the same folder of runs, an embedded
    model by name, or a checkpoint by folder.
    """

    name: str
    model: dict[str, Any]
    steps: int
    optimizer: Optimizer = Optimizer()
    vocabulary: int = 8000
    vocabulary_lines: int = 400_000
    start: str = ""
    seed: int = 1
    checkpoint_every: int = 500
    keep: int = 5
    average: int = 3


@dataclass(frozen=True, kw_only=True)
class Recipe(Run):
    """A run of text. tokens: target pieces a step, padding included; `lowest_k` to `highest_k` are drawn evenly for
    each sentence, and `full` of them see the whole source instead.

    sampling: share of target inputs that are the model's own predictions at the end of the run, rising from 0
    (scheduled sampling). latency, variance: weights of the latency losses of monotonic attention. teacher: another run
    in the folder of runs, whose `distilled.tsv` takes the place of the training corpora (`streamtrans distill`).
    objective: `translation`, or `policy`, which trains the policy head of the model of `start` and nothing else.
    """

    train: tuple[Corpus, ...]
    dev: tuple[Corpus, ...]
    tokens: int = 4096
    smoothing: float = 0.1
    lowest_k: int = 1
    highest_k: int = 9
    full: float = 0.15
    sampling: float = 0.0
    latency: float = 0.0
    variance: float = 0.0
    objective: str = "translation"
    teacher: str = ""

    def __post_init__(self) -> None:
        if self.objective not in ("translation", "policy"):
            raise ConfigError(f"objective {self.objective!r}: known are translation, policy")
        if self.objective == "policy" and not self.start:
            raise ConfigError("the objective `policy` needs `start`: a trained model to begin with")
        if self.objective == "policy" and not self.model.get("policy_head"):
            raise ConfigError("the objective `policy` needs a model with `policy_head = true`")


@dataclass(frozen=True)
class Speech:
    """Speech of one kind, from files in the data folder: either `text`, the sources of a file of pairs, spoken by
    synthesis, or `recordings`, a manifest.tsv with the columns path, seconds, text and, it may be, speaker.

    share: of the steps that are of this kind, relative to the others. words, seconds: the longest kept. held_out:
    every n-th speaker of the recordings is for dev alone, and a dev corpus with the same number holds just those;
    recordings without speakers count each as one. swap, without: of text, as in `Corpus`.
    """

    text: str = ""
    recordings: str = ""
    share: float = 1.0
    words: int = 40
    seconds: float = 20.0
    held_out: int = 0
    swap: bool = False
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.text) == bool(self.recordings):
            raise ConfigError("a corpus of speech has either `text` or `recordings`")
        if self.share <= 0:
            raise ConfigError("share must be over 0")


@dataclass(frozen=True)
class Curriculum:
    """How training begins: up to step `steps` only sentences of at most `words` words, in `voices` voices at their own
    rate and pitch, as clean as they are made. Then the share of all that the recipe has rises, from 0 to 1 over as many
    steps again.
    """

    steps: int = 0
    words: int = 6
    voices: int = 4


@dataclass(frozen=True, kw_only=True)
class SoundRecipe(Run):
    """A run on speech. seconds: of sound a step, at most, before it is changed (for text an estimate). augmentation: of
    samples; masks: of features. loaders: processes that make batches; 0: the training process makes them itself,
    between steps.
    """

    train: tuple[Speech, ...]
    dev: tuple[Speech, ...]
    seconds: float = 120.0
    curriculum: Curriculum = Curriculum()
    augmentation: Augmentation = Augmentation()
    masks: SpecAugment = SpecAugment()
    loaders: int = 0

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ConfigError("seconds must be over 0")


@dataclass(frozen=True, kw_only=True)
class SpeechRecipe(SoundRecipe):
    """A run of a recogniser. intermediate: weight of the CTC loss in the middle of the encoder, the last one's is 1
    minus it. encoder: a recogniser, of any language and vocabulary, named as `start` is, whose encoder and statistics
    of features it begins with; its output layer is left behind.
    """

    intermediate: float = 0.3
    encoder: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.intermediate < 1:
            raise ConfigError("intermediate must be from 0 to under 1")
        if self.encoder and self.start:
            raise ConfigError("a recogniser begins with `start` or with an `encoder`, not both")


@dataclass(frozen=True, kw_only=True)
class DirectRecipe(SoundRecipe):
    """A run of direct translation: it begins with the text model `start` and hears with `recognizer`, named as `start`
    is, which stays as it is. `model` says what is to differ from the text model's config.

    The rest is as in `Recipe`; the k words of wait-k are those that the recogniser hears.
    """

    recognizer: str
    smoothing: float = 0.1
    lowest_k: int = 1
    highest_k: int = 9
    full: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.start:
            raise ConfigError("direct translation needs `start`: a text model to begin with")


AnyRecipe = Recipe | SpeechRecipe | DirectRecipe
KINDS: dict[str, type[AnyRecipe]] = {
    "text": Recipe,
    "speech": SpeechRecipe,
    "direct": DirectRecipe,
}


def load_recipe(name: str | Path) -> AnyRecipe:
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
    if system and values.get("kind", "text") != "text":
        raise ConfigError(f"{task} is a recipe of speech; systems are of text")
    if system and "start" in values:
        raise ConfigError(f"{task} goes on with {values['start']}, which is no other system")
    if system:
        values = _merged(values, systems[system])
        values["name"] = f"{task}/{system}"
        values["model"]["name"] = f"{system}.{values['model']['name']}"
    return _recipe(values, str(name))


def load_text_recipe(name: str | Path) -> Recipe:
    """As `load_recipe`, of text. Raises ConfigError if it is of speech."""
    recipe = load_recipe(name)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{name} is a recipe of speech; one of text is needed here")
    return recipe


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Tables of both, `over` before `base`."""
    tables = {k: _merged(base.get(k, {}), v) for k, v in over.items() if isinstance(v, dict)}
    return {**base, **over, **tables}


def _recipe(values: dict[str, Any], where: str) -> AnyRecipe:
    kind = values.pop("kind", "text")
    if kind not in KINDS:
        raise ConfigError(f"{where}: kind {kind!r}: known are {', '.join(KINDS)}")
    for split in ("train", "dev"):
        corpora = values.get(split, [])
        made: type = Corpus if kind == "text" else Speech
        values[split] = tuple(build(made, c, f"{where}: {split}") for c in corpora)
        if not corpora:
            raise ConfigError(f"{where}: no [[{split}]] corpus")
    tables: dict[str, type] = {"optimizer": Optimizer}
    if kind != "text":
        tables |= {"curriculum": Curriculum, "augmentation": Augmentation, "masks": SpecAugment}
    for name, table in tables.items():
        values[name] = build(table, values.get(name, {}), f"{where}: {name}")
    return build(KINDS[kind], values, where)
