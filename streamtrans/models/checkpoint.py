"""A model on disk: a folder with model.safetensors, config.json and vocabulary.model, written whole or not at all.

Beside those of a recogniser may stand a language model of its pieces, which training/language_model.py makes.
In the folder of a direct model of speech is another one, `recognizer`: what it hears with, and was trained with.

It knows file names and dtypes. It knows nothing of training beyond extra tensors it is asked to keep beside the model.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from streamtrans.models.config import ModelConfig, build
from streamtrans.models.model import Model
from streamtrans.models.ngram import NGramError, NGrams
from streamtrans.models.recognizer import Recognizer, RecognizerConfig
from streamtrans.text.vocabulary import Vocabulary

RECOGNIZER = "recognizer"  # the folder in that of a direct model; `pretrained` looks for it, too
LANGUAGE_MODEL = "language-model.safetensors"  # of a recogniser, if it has one


class CheckpointError(ValueError):
    """A folder that is no checkpoint, or not one of this version."""


def save(
    folder: Path,
    config: ModelConfig | RecognizerConfig,
    vocabulary: Vocabulary,
    weights: dict[str, Tensor],
    extra: dict[str, dict[str, Tensor]] | None = None,
    recognizer: Path | None = None,
) -> None:
    """Write a checkpoint that is whole or not there: a stop half way leaves the old one, at worst as `.gone`.

    recognizer: the folder of the one it hears with, which is copied into it, without the language model: a direct model
    hears greedily.
    """
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, tensors in {"model": weights, **(extra or {})}.items():
        # through bytes: safetensors' own `save_file` makes files that only their owner may read
        whole = to_bytes({k: v.contiguous() for k, v in tensors.items()})
        (draft / f"{name}.safetensors").write_bytes(whole)
    (draft / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")
    (draft / "vocabulary.model").write_bytes(vocabulary.model)
    if recognizer is not None:
        _copy_files(recognizer, draft / RECOGNIZER)
    for path in draft.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    gone = folder.with_name(folder.name + ".gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
    draft.rename(folder)
    shutil.rmtree(gone, ignore_errors=True)


def copy(folder: Path, to: Path) -> None:
    """A checkpoint with its language model but nothing else that stands beside the model, whole or not there. `to` must
    not exist. Raises OSError.
    """
    draft = to.with_name(to.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    _copy_files(folder, draft)
    if (folder / LANGUAGE_MODEL).exists():
        shutil.copyfile(folder / LANGUAGE_MODEL, draft / LANGUAGE_MODEL)
    draft.rename(to)


def _copy_files(folder: Path, to: Path) -> None:
    to.mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "vocabulary.model"):
        shutil.copyfile(folder / name, to / name)


def load(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Model, Vocabulary]:
    """A text model ready to serve. Raises CheckpointError."""
    model, vocabulary = load_any(folder, device, dtype)
    if not isinstance(model, Model):
        raise CheckpointError(f"{folder} holds a recogniser; a text model is needed here")
    return model, vocabulary


def load_recognizer(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Recognizer, Vocabulary]:
    """A recogniser ready to serve, with its language model if there is one. Raises CheckpointError."""
    model, vocabulary = load_any(folder, device, dtype)
    if not isinstance(model, Recognizer):
        raise CheckpointError(f"{folder} holds a text model; a recogniser is needed here")
    return model, vocabulary


def load_any(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Model | Recognizer, Vocabulary]:
    """What the `kind` of the folder's config names. Raises CheckpointError."""
    try:
        values = json.loads((folder / "config.json").read_text())
        made = _maker(values, str(folder / "config.json"))
        vocabulary = Vocabulary.load(folder / "vocabulary.model")
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is no checkpoint: {error}") from error
    with torch.device("meta"):
        model = made()
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder} does not fit its config: {error}") from error
    if vocabulary.size != model.config.vocabulary:
        raise CheckpointError(
            f"{folder}: {vocabulary.size} pieces for {model.config.vocabulary} rows"
        )
    if isinstance(model, Recognizer):
        model.language_model = _language_model(folder, vocabulary)
    model.requires_grad_(False)
    return model.to(device=device, dtype=dtype).eval(), vocabulary


def _language_model(folder: Path, vocabulary: Vocabulary) -> NGrams | None:
    """Raises CheckpointError where there is one of other pieces, or a damaged one."""
    path = folder / LANGUAGE_MODEL
    if not path.exists():
        return None
    try:
        return NGrams.load(path, vocabulary)
    except (OSError, NGramError) as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _maker(values: Any, where: str) -> Callable[[], Model | Recognizer]:
    if isinstance(values, dict) and values.get("kind") == "speech":
        return partial(Recognizer, build(RecognizerConfig, values, where))
    return partial(Model, build(ModelConfig, values, where))


def remove(folder: Path) -> None:
    """Delete a checkpoint so that a stop half way leaves nothing that looks whole."""
    gone = folder.with_name(folder.name + ".gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)
