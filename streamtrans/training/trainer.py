"""The training loop: recipe in, checkpoints and a journal out, resumable after any stop.

What it keeps in `folder`: the vocabulary once learned, the recogniser of a direct model, `step-N` checkpoints (the last
few), journal.jsonl. It knows when and in which order; what is trained and on what, a task knows (task.py), and who else
works on the same batch, workers.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import Tensor

from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError
from streamtrans.models.model import average
from streamtrans.training.recipe import AnyRecipe, Recipe, SpeechRecipe
from streamtrans.training.task import Share, Task, autocast, finished, moved
from streamtrans.training.text_task import TextTask
from streamtrans.training.workers import Workers


def rate_at(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the full learning rate: linear rise, plateau, linear fall to zero at `steps`."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    fall = min(1.0, (steps - step) / max(1.0, decay * steps))
    return min(rise, max(0.0, fall))


class Trainer:
    """One run of a recipe in a folder of its own, which stands in a folder of runs: ROOT/NAME, NAME of the recipe.

    Under torchrun each process is a worker that takes its share of each batch.
    """

    def __init__(self, recipe: AnyRecipe, data: Path, folder: Path, device: str = "cpu") -> None:
        self.recipe, self.folder = recipe, folder
        self.workers = Workers.join(device)
        folder.mkdir(parents=True, exist_ok=True)
        self.task = _task(recipe, data, folder, self.workers)
        self.config, self.vocabulary = self.task.config, self.task.vocabulary
        self.model = self.task.model
        if recipe.start:
            self._start_from(finished(recipe, folder, recipe.start))
        self.shared = self.workers.share(self.task.objective)
        self.optimizers = self._optimizers()
        self.step = 0

    def run(self, resume: bool = False) -> Path:
        """Train to the end, average the last checkpoints and return the folder of the result (in bfloat16)."""
        if resume and (last := self.checkpoints()):
            self._restore(last[-1])
        recipe = self.recipe
        with _progress(self.workers.leads) as progress:
            bar = progress.add_task(recipe.name, total=recipe.steps, completed=self.step, note="")
            for record in self._steps(self.task.shares(self.step)):
                progress.update(bar, completed=self.step, note=record)
        with self.workers.first() as leads:
            if leads:
                self._finish()
        return self.folder / "averaged"

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = [p for p in self.folder.glob("step-*") if not p.suffix]
        return sorted(found, key=lambda p: int(p.name.removeprefix("step-")))

    def _steps(self, shares: Iterator[Share]) -> Iterator[str]:
        loss_sum = tokens = seconds = 0.0
        since = time.perf_counter()
        while self.step < self.recipe.steps:
            loss, share = self._train_on(shares)
            loss_sum, tokens, seconds = (
                loss_sum + loss,
                tokens + share.pieces,
                seconds + share.seconds,
            )
            self.step += 1
            if self.step % 50 == 0 or self.step == self.recipe.steps:
                yield self._report(loss_sum, tokens, seconds, time.perf_counter() - since)
                loss_sum = tokens = seconds = 0.0
                since = time.perf_counter()
            if self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps:
                before = time.perf_counter()
                with self.workers.first() as leads:
                    if leads:
                        self._save()
                        self._journal(step=self.step, **self.task.measures())
                since += time.perf_counter() - before  # speed is that of training alone

    def _report(self, loss_sum: float, tokens: float, seconds: float, took: float) -> str:
        """To the journal, and a note for the progress bar."""
        mean, speed = self.workers.total(loss_sum) / tokens, tokens / took
        record = dict(step=self.step, loss=mean, tokens_per_second=speed, tokens=tokens)
        note = f"loss {mean:.3f}  {speed:.0f} tokens/s"
        if seconds := self.workers.total(seconds):
            record |= dict(sound=seconds, sound_per_second=seconds / took)
            note += f"  {seconds / took:.0f} s of sound/s"
        self._journal(**record)
        return note

    def _train_on(self, shares: Iterator[Share]) -> tuple[float, Share]:
        """One step on this worker's share of a batch: its part of the plain loss, and the share."""
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        share = next(shares)
        self.workers.reseed()
        self.task.objective.train()
        with autocast(self.workers.device):
            loss, plain = self.shared(*moved(share.inputs, self.workers.device))
        (loss * share.weight / share.pieces).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimizer.clip)
        rate = rate_at(self.step, recipe.steps, recipe.optimizer.warmup, recipe.optimizer.decay)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * rate
            optimizer.step()
            optimizer.zero_grad()
        return float(plain) if share.weight else 0.0, share

    def _start_from(self, folder: Path) -> None:
        model, vocabulary = checkpoint.load_any(folder)
        if vocabulary.model != self.vocabulary.model:
            raise ConfigError(f"{self.recipe.name}: {folder} has another vocabulary")
        wrong = ConfigError(f"{self.recipe.name}: the model of {folder} is another one")
        try:
            missing, unexpected = self.model.load_state_dict(model.state_dict(), strict=False)
        except RuntimeError as error:  # tensors of other sizes
            raise wrong from error
        if unexpected or any(not name.startswith(("head.", "input.")) for name in missing):
            raise wrong

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.recipe.optimizer
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        table = ("embedding.", "output.")  # rows of a vocabulary
        inner = {n for n, p in trained.items() if p.dim() == 2 and not n.startswith(table)}
        layers = [p for n, p in trained.items() if n in inner]
        others = [p for n, p in trained.items() if n not in inner]
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
        weights = self.model.state_dict()
        checkpoint.save(folder, self.config, self.vocabulary, weights, extra, self._recognizer)
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
        averaged, heard = self.folder / "averaged", self._recognizer
        checkpoint.save(averaged, self.config, self.vocabulary, stored, recognizer=heard)

    @property
    def _recognizer(self) -> Path | None:
        """What the model hears with, if it is a direct one."""
        folder = self.folder / checkpoint.RECOGNIZER
        return folder if folder.is_dir() else None

    def _journal(self, **record: Any) -> None:
        if self.workers.leads:
            with (self.folder / "journal.jsonl").open("a") as file:
                file.write(json.dumps({"time": time.time(), **record}) + "\n")


def _task(recipe: AnyRecipe, data: Path, folder: Path, workers: Workers) -> Task:
    if isinstance(recipe, Recipe):
        return TextTask(recipe, data, folder, workers)
    if isinstance(recipe, SpeechRecipe):
        from streamtrans.training.speech_task import SpeechTask

        return SpeechTask(recipe, data, folder, workers)
    from streamtrans.training.direct_task import DirectTask

    return DirectTask(recipe, data, folder, workers)


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
