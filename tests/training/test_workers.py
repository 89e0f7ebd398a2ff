"""Several processes train one model: together they take the steps that one process takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from streamtrans.models.model import Model
from streamtrans.training.corpus import Pairs, endless, read_pairs
from streamtrans.training.objective import FULL, Translation
from streamtrans.training.recipe import Corpus
from streamtrans.training.workers import Workers

RECIPE = """
name = "toy"
steps = 6
vocabulary = 330
tokens = 60
checkpoint_every = 2
keep = 3
average = 2

[optimizer]
warmup = 1

[model]
name = "toy"
source = "en"
target = "xx"
dim = 16
heads = 2
hidden = 24
encoder_layers = 1
decoder_layers = 1
attention = "fixed"
dropout = 0.0

[[train]]
path = "a.tsv"

[[dev]]
path = "dev.tsv"
"""


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_row_is_one_workers_and_a_worker_without_counts_for_nothing(
    rows: int, count: int
) -> None:
    parts = [Workers(rank, count).part(rows) for rank in range(count)]
    own = np.concatenate([rows for rows, weight in parts if weight])
    assert sorted(own.tolist()) == list(range(rows))
    for part, weight in parts:
        assert len(part) and weight in (0.0, count) and (weight or part.tolist() == [0])


@pytest.mark.parametrize("rows", [1, 5])
def test_the_mean_of_the_workers_gradients_is_the_batchs(rows: int) -> None:
    """In float64, where only a mistake makes a difference; also with fewer rows than workers."""
    words, lines = fakes.vocabulary(), fakes.sentences(rows, longest=6)
    pairs = Pairs.encode([(line, line[::-1]) for line in lines], words)
    count = int(pairs.lengths[:, 1].sum())
    model = fakes.system("wait-k", made=Model).requires_grad_(True)
    objective = Translation(model, torch.tensor(words.ends_word)).train()

    def gradients(workers: Workers) -> list[Tensor]:
        own, weight = workers.part(rows)
        b = pairs.batch(own, words.bos, words.pad)
        model.zero_grad()
        loss, _ = objective(b.source, b.shifted, b.target, torch.full((len(own),), FULL))
        (loss * weight / count).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    whole = gradients(Workers())
    shares = [gradients(Workers(rank, 3)) for rank in range(3)]
    for gradient, *own in zip(whole, *shares, strict=True):
        # the loss is summed in float32, its gradients are not
        torch.testing.assert_close(sum(own) / 3, gradient, rtol=1e-5, atol=1e-9)


def test_alone_there_is_nobody_to_wait_for() -> None:
    alone = Workers.join("cpu")
    assert (alone.rank, alone.count, alone.leads) == (0, 1, True)
    with alone.first() as leads:
        assert leads
    module = torch.nn.Linear(2, 2)
    assert alone.share(module) is module and alone.total(3.5) == 3.5


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of 5 to 30 pieces: at 60 a batch the longest are each a batch of one row, none for a second worker."""
    folder = tmp_path_factory.mktemp("text")
    for name, count, seed in (("a", 24, 1), ("dev", 8, 3)):
        lines = [f"{s}\t{s[::-1]}\n" for s in fakes.sentences(count, seed, 9)]
        (folder / f"{name}.tsv").write_text("".join(lines))
    return folder


def trained(text: Path, folder: Path, processes: int) -> Path:
    recipe = folder / "toy.toml"
    recipe.write_text(RECIPE)
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    out = folder / f"run-{processes}"
    command = [sys.executable, *(many if processes > 1 else []), "-m", "streamtrans", "train"]
    command += [str(recipe), "--data", str(text), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, "--device", "cpu", "--threads", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def weights(folder: Path, step: int) -> dict[str, Tensor]:
    return load_file(folder / f"step-{step}" / "model.safetensors")


def test_two_processes_train_as_one_does(text: Path, tmp_path: Path) -> None:
    """Under torchrun, from the command line: the same losses, the same journal, the same weights.

    Products are in bfloat16, and a batch cut in two is summed in another order: losses differed by 0.002 % while the
    run lowered them by 1 %, and weights by 2 % of the way they went; allowed are ten times and twice as much. That the
    gradients are the same is tested above, in float64. Fixed attention leaves a weight without a gradient, on which
    DistributedDataParallel gave up in its second step.
    """
    one, two = (trained(text, tmp_path, n) for n in (1, 2))
    losses = [line["dev.tsv full"] for line in journal(one) if "dev.tsv full" in line]
    assert losses[-1] < 0.995 * losses[0]
    for mine, other in zip(journal(two), journal(one), strict=True):
        assert mine.keys() == other.keys()
        for key in mine.keys() - {"time", "tokens_per_second"}:
            assert mine[key] == pytest.approx(other[key], rel=2e-4), key
    ours, theirs, before = weights(two, 6), weights(one, 6), weights(one, 2)
    apart = sum(float((ours[n] - theirs[n]).square().sum()) for n in ours) ** 0.5
    way = sum(float((theirs[n] - before[n]).square().sum()) for n in ours) ** 0.5
    assert ours.keys() == theirs.keys() and 0 < way and apart < 0.05 * way, (apart, way)
    assert sorted(p.name for p in two.iterdir()) == sorted(p.name for p in one.iterdir())


def test_the_toy_text_has_batches_with_fewer_rows_than_workers(text: Path) -> None:
    """What the test above relies on."""
    pairs = Pairs.encode(read_pairs(text, Corpus("a.tsv")), fakes.vocabulary())
    steps = endless([pairs], [1], 60, 1, 0)
    counts = [len(next(steps)[1]) for _ in range(6)]
    assert min(counts) == 1 < max(counts), counts
