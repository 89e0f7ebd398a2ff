"""Quality against latency: systems x policies on one test set, one record in a journal for each finished cell.

It knows which cells there are, which are finished, and what makes a cell another one. How a cell is translated and
scored is in report.py and full_sentence.py, what is shown of it in tables.py and curves.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

import torch

from streamtrans import policy as policies
from streamtrans import pretrained
from streamtrans.engine import Engine
from streamtrans.engine.source_word import SessionError
from streamtrans.evaluation import full_sentence
from streamtrans.evaluation.journal import Journal, Record
from streamtrans.evaluation.latency import DelayError
from streamtrans.evaluation.report import Report, evaluate, measure
from streamtrans.evaluation.simulate import SimulationError
from streamtrans.evaluation.testsets import Bitext
from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.model import Model
from streamtrans.models.search import LENGTH_PENALTY
from streamtrans.policy import PolicyError
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.recipe import Recipe, load_text_recipe
from streamtrans.training.trainer import Trainer

FULL_SENTENCE = "full-sentence"  # beam search over whole segments; no policy of an engine
WAITING = ("wait-1", "wait-3", "wait-5", "wait-7", "wait-9", "full")
ADAPTIVE = ("adaptive-1-6:0.8", "adaptive-1-6:0.9", "adaptive-1-6:0.94", "adaptive-1-6:0.97")
MONOTONIC = ("monotonic", "adaptive-1-3", "adaptive-2-5", "adaptive-4-8")  # as learned, and bounded
LIBRARIES = ("streamtrans", "torch", "sentencepiece", "sacrebleu")


class BenchmarkError(ValueError):
    """A benchmark that cannot be meant."""


@dataclass(frozen=True)
class System:
    """A model under the name it has in tables. folder: its checkpoint, which is there once `train` returned."""

    name: str
    folder: Path
    recipe: Recipe | None = None

    @cached_property
    def config(self) -> ModelConfig:
        """Of the checkpoint. Raises CheckpointError, ConfigError."""
        try:
            values = json.loads((self.folder / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise checkpoint.CheckpointError(f"{self.folder} is no checkpoint: {error}") from error
        return build(ModelConfig, values, str(self.folder / "config.json"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of config, vocabulary and weights, as hexadecimal digits."""
        files = [
            self.folder / name for name in ("config.json", "vocabulary.model", "model.safetensors")
        ]
        return _digest([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])


@dataclass(frozen=True)
class Settings:
    """How a cell is measured. beam: hypotheses of the full-sentence search; live: of a policy, within what may be
    written before the next READ, 1 is greedy. timed: sentences, the first ones of the test set, that are translated
    once more for the computation-aware figures of a policy.
    """

    beam: int = 4
    timed: int = 0
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    live: int = 1

    def width(self, policy: str) -> int:
        """Hypotheses under a policy."""
        return self.beam if policy == FULL_SENTENCE else self.live


@dataclass(frozen=True)
class Cell:
    """One system under one policy. key: changes with weights, test pairs and settings, and with nothing else."""

    system: System
    policy: str
    key: str


def find_system(name: str, runs: Path) -> System:
    """An embedded model, the folder of a checkpoint, or a recipe, whose model is in runs/NAME/averaged.

    Raises BenchmarkError if there is none of that name, or the recipe is damaged.
    """
    try:
        folder = pretrained.find(name)
        path = folder.resolve()
        return System(path.parent.name if path.name == "averaged" else path.name, folder)
    except pretrained.UnknownModel as unknown:
        try:
            recipe = load_text_recipe(name)
        except ConfigError as error:
            raise BenchmarkError(f"{unknown}; {error}") from error
    return System(recipe.name, runs / recipe.name / "averaged", recipe)


def train(system: System, data: Path, device: str) -> None:
    """Train the model of a recipe to its end, from its last checkpoint on, unless it is there already."""
    if system.recipe and not (system.folder / "model.safetensors").is_file():
        Trainer(system.recipe, data, system.folder.parent, device).run(resume=True)


def policy_names(names: Sequence[str]) -> list[str]:
    """Each once, and as the policy itself spells it. Raises PolicyError."""
    spelt = (n if n == FULL_SENTENCE else policies.parse(n).name for n in names)
    return list(dict.fromkeys(spelt))


def default_policies(config: ModelConfig) -> tuple[str, ...]:
    """What a model can do. One whose own policy is `full` has learned from whole sentences only."""
    if config.offline:
        return (FULL_SENTENCE,)
    if config.policy == "full":
        return ("full", FULL_SENTENCE)
    if config.monotonic:
        return (*MONOTONIC, FULL_SENTENCE)
    return (*WAITING, *(ADAPTIVE if config.policy_head else ()), FULL_SENTENCE)


def check(systems: Sequence[System], bitext: Bitext) -> None:
    """Find before hours of work what cannot be meant. Raises BenchmarkError."""
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise BenchmarkError(f"two systems are called {name!r}: no table could tell them apart")
    for system in systems:
        if not system.recipe and system.config.direct:
            raise BenchmarkError(f"{system.name} translates speech; a bitext is written words")
        languages = _languages(system)
        if bitext.languages and languages != bitext.languages:
            model, test = " to ".join(languages), " to ".join(bitext.languages)
            raise BenchmarkError(f"{system.name} translates {model}, {bitext.name} is {test}")


def _languages(system: System) -> tuple[str, str]:
    if system.recipe:
        return str(system.recipe.model.get("source")), str(system.recipe.model.get("target"))
    return system.config.source, system.config.target


def plan(
    systems: Sequence[System], bitext: Bitext, chosen: Sequence[str], settings: Settings
) -> list[Cell]:
    """The cells, system by system; without chosen policies each system gets its default ones."""
    return [
        Cell(system, policy, _key(system, bitext, policy, settings))
        for system in systems
        for policy in chosen or default_policies(system.config)
    ]


def _key(system: System, bitext: Bitext, policy: str, settings: Settings) -> str:
    how = f"timed {settings.timed}" if policy != FULL_SENTENCE else ""
    if (width := settings.width(policy)) > 1:
        how += f" beam {width} length penalty {LENGTH_PENALTY}"
    place = f"{settings.device} {settings.dtype}"
    return _digest([system.name, system.digest, bitext.digest, policy, how, place])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def run(
    cells: Sequence[Cell], bitext: Bitext, settings: Settings, journal: Journal
) -> Iterator[Record]:
    """The record of each cell, from the journal or as soon as it is finished and in the journal.

    A cell that cannot be measured gives a record with `error` instead of figures, stays out of the journal, and does
    not hold up the others. Raises CheckpointError.
    """
    bitext = bitext.by_length(after=settings.timed)
    loaded: _Loaded | None = None
    for cell in cells:
        if cell.key in journal.records:
            yield journal.records[cell.key]
            continue
        if loaded is None or loaded.system is not cell.system:
            loaded = _Loaded(cell.system, settings)
        try:
            report = loaded.report(cell.policy, bitext)
        except (PolicyError, SessionError, DelayError, SimulationError) as error:
            yield {"system": cell.system.name, "policy": cell.policy, "error": str(error)}
            continue
        journal.append(loaded.record(cell, bitext, report))
        yield journal.records[cell.key]


class _Loaded:
    """A model in memory, with an engine once a policy asks for one."""

    def __init__(self, system: System, settings: Settings) -> None:
        self.system, self.settings = system, settings
        self.model: Model
        self.vocabulary: Vocabulary
        self.model, self.vocabulary = checkpoint.load(
            system.folder, settings.device, settings.dtype
        )

    @cached_property
    def engine(self) -> Engine:
        live = self.settings.live
        return Engine(self.model, self.vocabulary, max_sessions=256, max_batch=128, beam=live)

    def report(self, policy: str, bitext: Bitext) -> Report:
        if policy != FULL_SENTENCE:
            pairs = bitext.sources, bitext.references
            return evaluate(self.engine, *pairs, policy, timed=self.settings.timed)[0]
        started = time.perf_counter()
        translations = full_sentence.translate(
            self.model, self.vocabulary, bitext.sources, self.settings.beam
        )
        seconds = time.perf_counter() - started
        name = self.system.config.name
        return measure(name, policy, translations, bitext.references, seconds)

    def record(self, cell: Cell, bitext: Bitext, report: Report) -> Record:
        return {
            "key": cell.key,
            "system": cell.system.name,
            "test": bitext.name,
            **dataclasses.asdict(report),
            "beam": self.settings.width(cell.policy),
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "bytes": (cell.system.folder / "model.safetensors").stat().st_size,
            "weights_digest": cell.system.digest,
            "test_digest": bitext.digest,
            "device": self.settings.device,
            "dtype": str(self.settings.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "versions": {
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in LIBRARIES},
            },
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
