"""A tiny run from recipe to checkpoint, and a run that was stopped and went on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import sentences
from safetensors.torch import load_file
from stopping import assert_alike, stopped
from torch import Tensor

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError
from streamtrans.training.recipe import Corpus, Optimizer, Recipe
from streamtrans.training.trainer import Trainer, rate_at

STEPS = 24
RECIPE = Recipe(
    name="toy",
    model=dict(
        name="toy",
        source="en",
        target="xx",
        dim=32,
        heads=2,
        hidden=48,
        encoder_layers=1,
        decoder_layers=1,
        dropout=0.1,
    ),
    train=(Corpus("a.tsv"), Corpus("b.tsv", repeat=2)),
    dev=(Corpus("dev.tsv"),),
    steps=STEPS,
    optimizer=Optimizer(rate=2e-2, embedding_rate=2e-2, warmup=2),
    vocabulary=340,
    tokens=400,
    checkpoint_every=6,
    keep=2,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language whose words are those of the other, backwards."""
    folder = tmp_path_factory.mktemp("text")
    for name, count, seed in (("a", 80, 1), ("b", 30, 2), ("dev", 20, 3)):
        lines = [f"{s}\t{' '.join(w[::-1] for w in s.split())}\n" for s in sentences(count, seed)]
        (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def through(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that went through."""
    trainer = Trainer(RECIPE, text, tmp_path_factory.mktemp("through"))
    assert trainer.run() == trainer.folder / "averaged"
    return trainer


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def weights(trainer: Trainer, step: int = STEPS) -> dict[str, Tensor]:
    return load_file(trainer.folder / f"step-{step}" / "model.safetensors")


def test_the_loss_falls(through: Trainer) -> None:
    dev = [line for line in journal(through.folder) if "dev.tsv full" in line]
    assert [line["step"] for line in dev] == [6, 12, 18, 24]
    for policy in ("wait-1", "wait-3", "wait-7", "full"):
        losses = [line[f"dev.tsv {policy}"] for line in dev]
        assert losses[-1] < losses[0] - 0.2


def test_the_journal_says_how_it_went(through: Trainer) -> None:
    lines = journal(through.folder)
    (train,) = [line for line in lines if "loss" in line]
    assert train["step"] == STEPS and train["tokens"] > 0 and train["tokens_per_second"] > 0
    times = [line["time"] for line in lines]
    assert times == sorted(times)


def test_the_last_checkpoints_are_kept_and_averaged(through: Trainer) -> None:
    assert [p.name for p in through.checkpoints()] == ["step-18", "step-24"]
    model, words = checkpoint.load(through.folder / "averaged")
    assert words.model == through.vocabulary.model and model.config == through.config
    first, last = weights(through, 18), weights(through, 24)
    for name, weight in model.state_dict().items():
        mean = (first[name] + last[name]) / 2
        torch.testing.assert_close(weight, mean.bfloat16().float())  # as it is stored
    assert not any("optimizer" in p.name for p in (through.folder / "averaged").iterdir())


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    text: Path, through: Trainer, tmp_path: Path
) -> None:
    """Weights, moments, learning rate, batches, k and dropout: whatever a checkpoint forgets, the
    run after a power cut is another run. All is drawn from the seed and the step, so it is the
    same.
    """
    resumed = stopped(RECIPE, text, tmp_path, last=15)
    assert [p.name for p in resumed.checkpoints()] == ["step-6", "step-12"]
    resumed.run(resume=True)
    assert_alike(resumed.checkpoints()[-1], through.checkpoints()[-1])
    assert [line["step"] for line in journal(tmp_path) if "loss" not in line] == [6, 12, 18, 24]


def test_the_moments_are_restored(text: Path, through: Trainer) -> None:
    fresh = Trainer(RECIPE, text, through.folder)
    fresh._restore(through.checkpoints()[-1])
    assert fresh.step == STEPS
    for ours, theirs in zip(fresh.optimizers, through.optimizers, strict=True):
        mine, other = ours.state_dict()["state"], theirs.state_dict()["state"]
        assert mine.keys() == other.keys() and mine
        for number, state in other.items():
            assert all(torch.equal(mine[number][k], torch.as_tensor(v)) for k, v in state.items())


def test_every_weight_has_one_optimizer(through: Trainer) -> None:
    """A weight that no optimizer owns stays as it was drawn, and nothing tells."""
    owned = [id(p) for o in through.optimizers for g in o.param_groups for p in g["params"]]
    assert sorted(owned) == sorted(id(p) for p in through.model.parameters())


def test_sampling_rises_with_the_steps(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From none at the first step towards the stated share at the last; none in the dev losses."""
    trainer, shares = Trainer(replace(RECIPE, sampling=0.4, steps=4), text, tmp_path), []
    real = trainer.task.objective.forward

    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        shares.append(inputs[4] if len(inputs) > 4 else 0.0)
        return real(*inputs)

    monkeypatch.setattr(trainer.task.objective, "forward", forward)
    trainer.run()
    assert shares == pytest.approx([0.0, 0.1, 0.2, 0.3] + [0.0] * (len(shares) - 4))
    assert len(shares) > 4


def test_a_model_that_cannot_be_meant_is_said(text: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, model={"name": "toy", "layers": 3})
    with pytest.raises(ConfigError, match="toy: model: unknown key layers"):
        Trainer(recipe, text, tmp_path)


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [rate_at(step, steps=100, warmup=10, decay=0.4) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[60] == 1.0
    assert rates[80] == pytest.approx(0.5) and 0 < rates[99] < 0.03
    assert rates == sorted(rates[:10]) + rates[10:60] + sorted(rates[60:], reverse=True)
    assert rate_at(100, 100, 10, 0.4) == 0.0
