"""A tiny recogniser from recipe to words: trained, stopped, resumed, saved, loaded, listening."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
import soundfile
import torch
from fakes import WORDS, sentences
from safetensors.torch import load_file
from stopping import assert_alike, stopped

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError
from streamtrans.training.augmentation import CLEAN, SpecAugment
from streamtrans.training.recipe import Curriculum, Optimizer, Speech, SpeechRecipe
from streamtrans.training.trainer import Trainer

RECIPE = SpeechRecipe(
    name="toy",
    model=dict(
        name="toy", language="en", subsampling=4, dim=16, heads=2, hidden=24, layers=2, kernel=3, window=16, chunk=2,
        piece=16, dropout=0.1,
    ),
    train=(Speech(recordings="manifest.tsv", held_out=5),),
    dev=(Speech(recordings="manifest.tsv", held_out=5),),
    steps=6,
    seconds=8,
    vocabulary=60,
    optimizer=Optimizer(rate=5e-3, embedding_rate=5e-3, warmup=1),
    checkpoint_every=2,
    keep=3,
    average=2,
)  # fmt: skip


def whistled(text: str) -> np.ndarray:
    """A language without a mouth: each word has a pitch of its own and lasts a sixth of a second."""
    time = np.arange(2600) / 16_000
    words = [word.rstrip(".") for word in text.split()]
    tones = (np.sin(2 * np.pi * (300 + 150 * WORDS.index(word)) * time) for word in words)
    return (0.3 * np.concatenate(list(tones))).astype(np.float32)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    lines = ["id\tpath\tseconds\ttext"]
    for i, text in enumerate(sentences(120, seed=4, longest=6)):
        samples = whistled(text)
        soundfile.write(folder / f"{i}.wav", samples, 16_000)
        lines.append(f"{i}\t{i}.wav\t{len(samples) / 16_000:.3f}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def through(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that went through."""
    trainer = Trainer(RECIPE, speech, tmp_path_factory.mktemp("through"))
    assert trainer.run() == trainer.folder / "averaged"
    return trainer


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_the_journal_tells_loss_error_rates_and_sound(through: Trainer) -> None:
    lines = journal(through.folder)
    dev = [line for line in lines if "manifest.tsv ctc" in line]
    assert [line["step"] for line in dev] == [2, 4, 6]
    assert dev[-1]["manifest.tsv ctc"] < dev[0]["manifest.tsv ctc"]
    assert all(line["manifest.tsv wer"] > 0 and line["manifest.tsv cer"] > 0 for line in dev)
    (train,) = [line for line in lines if "loss" in line]
    assert 6 * 4 < train["sound"] < 6 * 20 and train["sound_per_second"] > 0


def test_a_trained_recogniser_listens(through: Trainer, speech: Path) -> None:
    model, vocabulary = checkpoint.load_recognizer(through.folder / "averaged")
    assert model.config == through.config and vocabulary.model == through.vocabulary.model
    torch.testing.assert_close(
        model.normalization.mean, through.model.normalization.mean.bfloat16().float()
    )
    assert model.normalization.deviation.min() > 0.09
    fakes.heard_wholly(model, vocabulary, whistled("the old house"))


def test_it_learns_to_hear(speech: Path, tmp_path: Path) -> None:
    """The whole path has to fit together for this: features, their statistics, labels, lengths, loss, search."""
    clean = replace(
        RECIPE,
        model={**RECIPE.model, "dim": 48, "hidden": 64, "dropout": 0.0},
        steps=150,
        seconds=20,
        curriculum=Curriculum(),
        checkpoint_every=150,
        intermediate=0.3,
    )
    clean = replace(clean, augmentation=CLEAN, masks=SpecAugment(bands=0, spans=0))
    trainer = Trainer(clean, speech, tmp_path)
    trainer.run()
    (dev,) = [line for line in journal(tmp_path) if "manifest.tsv wer" in line]
    assert dev["manifest.tsv wer"] < 0.5
    model, vocabulary = checkpoint.load_recognizer(tmp_path / "averaged")
    words = fakes.heard_wholly(model, vocabulary, whistled("the river sees the old boat"))
    assert len(words) >= 3


def test_it_begins_with_the_ears_of_another_language(
    speech: Path, through: Trainer, tmp_path: Path
) -> None:
    """Encoder and statistics of features, but no output layer: the vocabularies differ."""
    (tmp_path / "elsewhere").symlink_to(through.folder)
    other = replace(RECIPE, encoder="elsewhere", vocabulary=40)
    trainer = Trainer(other, speech, tmp_path / "toy")
    ours = trainer.model.state_dict()
    theirs = load_file(through.folder / "averaged" / "model.safetensors")
    assert ours["output.weight"].shape != theirs["output.weight"].shape
    for name in set(ours) - {"output.weight", "output.bias"}:
        assert torch.equal(ours[name], theirs[name].to(ours[name].dtype)), name
    trainer.run()

    wide = replace(other, model={**RECIPE.model, "hidden": 32})
    with pytest.raises(ConfigError, match="toy: the encoder of .*averaged is another one"):
        Trainer(wide, speech, tmp_path / "wide")
    with pytest.raises(ConfigError, match="not both"):
        replace(other, start="elsewhere")


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    speech: Path, through: Trainer, tmp_path: Path
) -> None:
    resumed = stopped(RECIPE, speech, tmp_path)
    assert [p.name for p in resumed.checkpoints()] == ["step-2"]
    resumed.run(resume=True)
    assert_alike(*(t.folder / "step-6" for t in (resumed, through)))


def test_every_weight_has_one_optimizer_and_tables_are_not_matrices(through: Trainer) -> None:
    muon, adam = through.optimizers
    owned = [id(p) for o in through.optimizers for g in o.param_groups for p in g["params"]]
    assert sorted(owned) == sorted(id(p) for p in through.model.parameters())
    others = {id(p) for g in adam.param_groups for p in g["params"]}
    assert id(through.model.output.weight) in others and muon.param_groups[0]["params"]


def test_spoken_text_trains(tmp_path: Path) -> None:
    """Two steps on synthesised sentences, and held-out voices for the measures."""
    pytest.importorskip("espeakng_loader", reason="the extra speech-training is not installed")
    lines = [f"{line}\t{line}\n" for line in sentences(60, seed=8, longest=5)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    corpora = dict(train=(Speech(text="a.tsv"),), dev=(Speech(text="a.tsv", words=3),))
    recipe = replace(RECIPE, **corpora, steps=2, curriculum=Curriculum(1, 4, 2))
    averaged = Trainer(recipe, tmp_path, tmp_path / "run").run()
    model, vocabulary = checkpoint.load_recognizer(averaged)
    assert vocabulary.decode(vocabulary.encode("old house")) == "old house"
    assert "a.tsv wer" in journal(tmp_path / "run")[-1]


def test_a_model_that_cannot_be_meant_is_said(speech: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, model={**RECIPE.model, "encoder_layers": 3})
    with pytest.raises(ConfigError, match="toy: model: unknown key encoder_layers"):
        Trainer(recipe, speech, tmp_path)
