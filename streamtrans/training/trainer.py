"""The training loop: recipe in, checkpoints and a journal out, resumable after any stop.

What it keeps in `folder`: data and vocabulary once prepared, `step-N` checkpoints (the last few), journal.jsonl. It
knows when and in which order; what a loss is, is in objective.py, what a batch is, in corpus.py, and who else works
on the same batch, in workers.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import Tensor

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.model import Model, average
from streamtrans.text.vocabulary import Vocabulary
from streamtrans.training.corpus import Batch, Pairs, endless, read_pairs
from streamtrans.training.objective import FULL, Confidence, Translation
from streamtrans.training.recipe import Corpus, Recipe
from streamtrans.training.workers import Workers

DEV_PAIRS = 400


def rate_at(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the full learning rate: linear rise, plateau, linear fall to zero at `steps`."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    fall = min(1.0, (steps - step) / max(1.0, decay * steps))
    return min(rise, max(0.0, fall))


class Trainer:
    """One run of a recipe in a folder of its own, which stands in a folder of runs: ROOT/NAME, NAME of the recipe.

    Under torchrun each process is a worker that takes its share of each batch.
    """

    def __init__(self, recipe: Recipe, data: Path, folder: Path, device: str = "cpu") -> None:
        self.recipe, self.folder = recipe, folder
        self.workers = Workers.join(device)
        self.device = device = self.workers.device
        folder.mkdir(parents=True, exist_ok=True)
        corpora = recipe.train
        if recipe.teacher:
            corpora = (Corpus(str((self._other(recipe.teacher) / "distilled.tsv").resolve())),)
        train = [read_pairs(data, corpus) for corpus in corpora]
        self.repeats = [corpus.repeat for corpus in corpora]
        with self.workers.first():
            self.vocabulary = self._vocabulary([p for pairs in train for p in pairs])
        self.train = [Pairs.encode(pairs, self.vocabulary) for pairs in train]
        self.dev = [
            Pairs.encode(read_pairs(data, c)[:DEV_PAIRS], self.vocabulary) for c in recipe.dev
        ]
        values = {**recipe.model, "vocabulary": self.vocabulary.size}
        self.config = build(ModelConfig, values, f"{recipe.name}: model")
        torch.manual_seed(recipe.seed)
        self.model = Model(self.config).to(device)
        if recipe.start:
            self._start_from(self._other(recipe.start) / "averaged")
        self.objective = self._objective()
        self.shared = self.workers.share(self.objective)
        self.optimizers = self._optimizers()
        self.step = 0

    def run(self, resume: bool = False) -> Path:
        """Train to the end, average the last checkpoints and return the folder of the result (in bfloat16)."""
        if resume and (last := self.checkpoints()):
            self._restore(last[-1])
        recipe = self.recipe
        batches = endless(self.train, self.repeats, recipe.tokens, recipe.seed, self.step)
        with _progress(self.workers.leads) as progress:
            bar = progress.add_task(recipe.name, total=recipe.steps, completed=self.step, note="")
            for record in self._steps(batches):
                progress.update(bar, completed=self.step, note=record)
        with self.workers.first() as leads:
            if leads:
                self._finish()
        return self.folder / "averaged"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = [p for p in self.folder.glob("step-*") if not p.suffix]
        return sorted(found, key=lambda p: int(p.name.removeprefix("step-")))

    def _steps(self, batches: Iterator[tuple[int, np.ndarray]]) -> Iterator[str]:
        loss_sum = tokens = 0.0
        since = time.perf_counter()
        while self.step < self.recipe.steps:
            corpus, rows = next(batches)
            loss, count = self._train_on(self.train[corpus], rows)
            loss_sum, tokens = loss_sum + loss, tokens + count
            self.step += 1
            if self.step % 50 == 0 or self.step == self.recipe.steps:
                speed = tokens / (time.perf_counter() - since)
                mean = self.workers.total(loss_sum) / tokens
                self._journal(step=self.step, loss=mean, tokens_per_second=speed, tokens=tokens)
                yield f"loss {mean:.3f}  {speed:.0f} tokens/s"
                loss_sum = tokens = 0.0
                since = time.perf_counter()
            if self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps:
                with self.workers.first() as leads:
                    if leads:
                        self._save()
                        self._journal(step=self.step, **self._dev_losses())
                since = time.perf_counter()

    def _train_on(self, pairs: Pairs, rows: np.ndarray) -> tuple[float, int]:
        """One step on this worker's share of a batch: its part of the plain loss, target pieces of the whole batch."""
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        k = torch.randint(recipe.lowest_k, recipe.highest_k + 1, (len(rows),))
        k = torch.where(torch.rand(len(rows)) < recipe.full, FULL, k)
        count = int(pairs.lengths[rows, 1].sum())
        own, weight = self.workers.part(len(rows))
        self.workers.reseed()
        batch = pairs.batch(rows[own], self.vocabulary.bos, self.vocabulary.pad)
        self.objective.train()
        loss, plain = self._loss(batch, k[own], recipe.sampling * self.step / recipe.steps)
        (loss * weight / count).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimizer.clip)
        share = rate_at(self.step, recipe.steps, recipe.optimizer.warmup, recipe.optimizer.decay)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * share
            optimizer.step()
            optimizer.zero_grad()
        return float(plain) if weight else 0.0, count

    def _loss(self, batch: Batch, k: Tensor, sampled: float = 0.0) -> tuple[Tensor, Tensor]:
        tensors = (x.to(self.device) for x in (batch.source, batch.shifted, batch.target, k))
        objective = self.shared if torch.is_grad_enabled() else self.objective
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return objective(*tensors, sampled)

    @torch.no_grad()
    def _dev_losses(self) -> dict[str, float]:
        self.objective.eval()
        losses: dict[str, float] = {}
        for corpus, pairs in zip(self.recipe.dev, self.dev, strict=True):
            for k in (1, 3, 7, FULL):
                total = 0.0
                for rows in np.array_split(np.arange(len(pairs)), max(1, len(pairs) // 100)):
                    batch = pairs.batch(rows, self.vocabulary.bos, self.vocabulary.pad)
                    total += float(self._loss(batch, torch.full((len(rows),), k))[1])
                name = "full" if k == FULL else f"wait-{k}"
                losses[f"{corpus.path} {name}"] = total / int(pairs.lengths[:, 1].sum())
        return losses

    def _objective(self) -> Translation | Confidence:
        recipe, ends_word = self.recipe, torch.tensor(self.vocabulary.ends_word, device=self.device)
        if recipe.objective == "policy":
            return Confidence(self.model, ends_word)
        return Translation(self.model, ends_word, recipe.smoothing, recipe.latency, recipe.variance)

    def _other(self, name: str) -> Path:
        """The folder of another run, beside this one."""
        return self.folder.parent / name

    def _start_from(self, folder: Path) -> None:
        model, vocabulary = checkpoint.load(folder)
        if vocabulary.model != self.vocabulary.model:
            raise ConfigError(f"{self.recipe.name}: {folder} has another vocabulary")
        wrong = ConfigError(f"{self.recipe.name}: the model of {folder} is another one")
        try:
            missing, unexpected = self.model.load_state_dict(model.state_dict(), strict=False)
        except RuntimeError as error:  # tensors of other sizes
            raise wrong from error
        if unexpected or any(not name.startswith("head.") for name in missing):
            raise wrong

    def _vocabulary(self, pairs: list[tuple[str, str]]) -> Vocabulary:
        path = self.folder / "vocabulary.model"
        if path.exists():
            return Vocabulary.load(path)
        if self.recipe.start:
            theirs = self._other(self.recipe.start) / "averaged" / "vocabulary.model"
            if not theirs.is_file():
                raise ConfigError(f"{self.recipe.name}: no finished run in {theirs.parents[1]}")
            path.write_bytes(theirs.read_bytes())
            return Vocabulary.load(path)
        rng = np.random.default_rng(self.recipe.seed)
        some = rng.permutation(len(pairs))[: self.recipe.vocabulary_lines // 2]
        lines = [line for i in some for line in pairs[i]]
        return Vocabulary.train(lines, self.recipe.vocabulary, path)

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.recipe.optimizer
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        layers = [p for n, p in trained.items() if p.dim() == 2 and "embedding" not in n]
        others = [p for n, p in trained.items() if p.dim() != 2 or "embedding" in n]
        muon = torch.optim.Muon(
            layers,
            lr=settings.rate,
            weight_decay=settings.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        adam = torch.optim.AdamW(
            others, lr=settings.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        for optimizer, rate in ((muon, settings.rate), (adam, settings.embedding_rate)):
            optimizer.param_groups[0]["full_rate"] = rate
        return [muon, adam]

    def _save(self) -> None:
        extra = {f"optimizer-{i}": _flatten(o) for i, o in enumerate(self.optimizers)}
        folder = self.folder / f"step-{self.step}"
        checkpoint.save(folder, self.config, self.vocabulary, self.model.state_dict(), extra)
        for old in self.checkpoints()[: -self.recipe.keep]:
            checkpoint.remove(old)

    def _restore(self, folder: Path) -> None:
        self.model.load_state_dict(load_file(folder / "model.safetensors"))
        for i, optimizer in enumerate(self.optimizers):
            _unflatten(optimizer, load_file(folder / f"optimizer-{i}.safetensors"))
        self.step = int(folder.name.removeprefix("step-"))

    def _finish(self) -> None:
        last = self.checkpoints()[-self.recipe.average :]
        weights = average([load_file(p / "model.safetensors") for p in last])
        stored = {name: w.to(torch.bfloat16) for name, w in weights.items()}
        checkpoint.save(self.folder / "averaged", self.config, self.vocabulary, stored)

    def _journal(self, **record: float) -> None:
        if self.workers.leads:
            with (self.folder / "journal.jsonl").open("a") as file:
                file.write(json.dumps({"time": time.time(), **record}) + "\n")


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{i}/{k}": torch.as_tensor(v) for i, values in state.items() for k, v in values.items()
    }


def _unflatten(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        number, key = name.split("/")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _progress(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description} {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        disable=not shown,
    )
