"""What a run trains: the face that a task has to the training loop, which knows no more of it.

A task owns the model, the vocabulary, the objective and the batches; the loop (trainer.py) owns the order of steps, the
optimizers, checkpoints and the journal. text_task.py, speech_task.py and direct_task.py are the three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from streamtrans import pretrained
from streamtrans.models.config import ConfigError, ModelConfig
from streamtrans.models.recognizer import RecognizerConfig
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.recipe import Run


@dataclass(frozen=True)
class Share:
    """What one worker differentiates of a step's batch.

    inputs: of the objective, which gives the loss to differentiate and the plain loss, sums over target pieces in nats.
    pieces: target pieces of the whole batch, by which the sums are divided. weight: of this share (`Workers.part`).
    seconds: of sound in this share.
    """

    inputs: tuple[Any, ...]
    pieces: int
    weight: float
    seconds: float = 0.0


class Task(Protocol):
    """A model and what it learns from. Batches, and all chance in them, follow from the recipe's seed and the step."""

    @property
    def config(self) -> ModelConfig | RecognizerConfig:
        """Of the model."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The pieces of its output."""

    @property
    def model(self) -> nn.Module:
        """What is saved."""

    @property
    def objective(self) -> nn.Module:
        """What a step differentiates: it holds the model."""

    def shares(self, step: int) -> Iterator[Share]:
        """This worker's share of the batch of step `step`, of the next one and so on, for ever. The loop seeds torch's
        generator before it asks for one.
        """

    def measures(self) -> dict[str, float]:
        """What the journal says of the dev corpora."""


def autocast(device: str) -> torch.autocast:
    """The arithmetic of training: bfloat16 where it is safe."""
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def moved(inputs: tuple[Any, ...], device: str) -> tuple[Any, ...]:
    """Inputs with their tensors on a device."""
    return tuple(x.to(device) if isinstance(x, Tensor) else x for x in inputs)


def other_run(folder: Path, name: str) -> Path:
    """The folder of another run, beside this one."""
    return folder.parent / name


def finished(recipe: Run, folder: Path, name: str) -> Path:
    """The folder of what a recipe names: the result of another run beside this one, an embedded model, or a checkpoint.
    Raises ConfigError.
    """
    run = other_run(folder, name)
    if (run / "averaged" / "model.safetensors").is_file():
        return run / "averaged"
    try:
        return pretrained.find(name)
    except pretrained.UnknownModel as error:
        raise ConfigError(f"{recipe.name}: no finished run in {run}; {error}") from error


def found_vocabulary(recipe: Run, folder: Path) -> Vocabulary | None:
    """The vocabulary of this run if it has one already, or of what it starts with. Raises ConfigError."""
    path = folder / "vocabulary.model"
    if not path.exists() and recipe.start:
        theirs = finished(recipe, folder, recipe.start) / "vocabulary.model"
        path.write_bytes(theirs.read_bytes())
    return Vocabulary.load(path) if path.exists() else None
