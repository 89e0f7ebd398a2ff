"""Every system of systems.toml from recipe to translation: two steps on toy data, saved, loaded, run by its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import SYSTEMS, run, sentences
from safetensors.torch import load_file

from streamtrans.engine import Engine
from streamtrans.messages import Done, End, Error, Text
from streamtrans.models import checkpoint
from streamtrans.models.config import ConfigError
from streamtrans.models.search import beam_search
from streamtrans.training.recipe import Corpus, Recipe, load_recipe
from streamtrans.training.trainer import Trainer

TINY = dict(dim=16, heads=2, hidden=24, encoder_layers=2, decoder_layers=2)


def tiny(name: str, **changes: object) -> Recipe:
    recipe = load_recipe(f"multi30k.en-fr/{name}")
    model = {**recipe.model, **TINY, "heads": min(2, recipe.model["heads"])}
    values = dict(model=model, steps=2, vocabulary=340, tokens=300, checkpoint_every=1)
    corpora = dict(train=(Corpus("a.en", target="a.xx"),), dev=(Corpus("a.tsv"),))
    return replace(recipe, **{**values, **corpora, **changes})


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    lines = sentences(60, seed=1, longest=6)
    (folder / "a.en").write_text("".join(f"{s}\n" for s in lines))
    (folder / "a.xx").write_text("".join(f"{' '.join(s.split()[::-1])}\n" for s in lines))
    (folder / "a.tsv").write_text("".join(f"{s}\t{s}\n" for s in lines[:10]))
    return folder


@pytest.fixture(scope="module")
def trainers(text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trainer]:
    """All systems, each in its folder beside the others, those first that others begin with."""
    runs, made = tmp_path_factory.mktemp("runs"), {}
    while left := [name for name in SYSTEMS if name not in made]:
        needs = {n: {tiny(n).start, tiny(n).teacher} - {""} - set(made) for n in left}
        name = next(n for n in left if not needs[n])
        made[name] = Trainer(tiny(name), text, runs / name)
        assert made[name].run() == runs / name / "averaged"
        lines = [f"{s}\t{s[::-1]}\n" for s in sentences(40, seed=5, longest=6)]
        (runs / name / "distilled.tsv").write_text("".join(lines))
    return made


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_trained_system_runs_as_its_policy_says(
    trainers: dict[str, Trainer], system: str
) -> None:
    model, vocabulary = checkpoint.load(trainers[system].folder / "averaged")
    assert model.config == trainers[system].config
    if model.config.offline:
        (pieces,) = beam_search(model, [vocabulary.encode("the old house")], width=2)
        assert len(pieces) <= 1.5 * 8 + 8
        return
    engine = Engine(model, vocabulary, 2, 2)
    session = engine.open()
    assert session.policy.name == model.config.policy
    for command in (Text("the old house sees a boat. the river "), End()):
        engine.feed(session, command)
    events = run(engine, ticks=2000)[session]
    assert isinstance(events[-1], Done) and events[-1].source_words == 8
    assert not any(isinstance(e, Error) for e in events)


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_steps_move_every_weight_that_is_trained(
    trainers: dict[str, Trainer], system: str
) -> None:
    """With k of wait-k for all; with a policy head alone, nothing else moves at all."""
    folder = trainers[system].folder
    first, second = (load_file(folder / f"step-{n}" / "model.safetensors") for n in (1, 2))
    still = {name for name in first if torch.equal(first[name], second[name])}
    if system == "adaptive":
        assert still == {name for name in first if not name.startswith("head.")}
    elif trainers[system].config.attention == "fixed":
        assert all("cross_norm" in name for name in still)  # it asks with no query
    else:
        assert not still


def test_the_policy_head_starts_from_another_run_and_leaves_it_as_it_is(
    trainers: dict[str, Trainer],
) -> None:
    """Bit by bit, through training, averaging and storing."""
    start, result = (
        load_file(trainers[name].folder / "averaged" / "model.safetensors")
        for name in (trainers["adaptive"].recipe.start, "adaptive")
    )
    assert set(result) - set(start) == {n for n in result if n.startswith("head.")} != set()
    assert all(torch.equal(result[name], weight) for name, weight in start.items())
    start = trainers[trainers["adaptive"].recipe.start]
    assert trainers["adaptive"].vocabulary.model == start.vocabulary.model


def test_a_student_reads_what_its_teacher_wrote(trainers: dict[str, Trainer]) -> None:
    """Not the training corpora of the recipe; its dev corpora stay."""
    student = trainers["wait-k-distilled"]
    assert student.recipe.teacher
    (pairs,), (dev,) = student.task.train, student.task.dev
    assert len(pairs) == 40 and len(dev) == len(set(sentences(60, seed=1, longest=6)[:10]))
    found = {tuple(pairs.batch(np.array([i]), 2, 0).target[0].tolist()) for i in range(40)}
    backwards = [s[::-1] for s in sentences(40, seed=5, longest=6)]
    assert found == {(*pieces, 3) for pieces in student.vocabulary.encode_lines(backwards)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            dict(start="nowhere", teacher=""),
            "multi30k.en-fr/adaptive: no finished run in .*nowhere",
        ),
        (dict(start="gru-wait-k", teacher=""), "the model of .*gru-wait-k.averaged is another one"),
        (dict(start="mma-il", teacher=""), "the model of .*mma-il.averaged is another one"),
        (dict(start="wide", teacher=""), "the model of .*wide.averaged is another one"),
        (dict(teacher="nowhere"), "nowhere.distilled.tsv"),
    ],
)
def test_a_run_to_begin_with_that_does_not_fit_is_named(
    trainers: dict[str, Trainer], text: Path, changes: dict[str, object], says: str
) -> None:
    folder = trainers["adaptive"].folder.parent / "another"
    wide = folder.parent / "wide"
    if changes["start" if "start" in changes else "teacher"] == "wide" and not wide.exists():
        recipe = tiny("wait-k", steps=1)
        Trainer(replace(recipe, model={**recipe.model, "dim": 32}), text, wide).run()
    (folder / "vocabulary.model").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=says):
        Trainer(tiny("adaptive", **changes), text, folder)


def test_another_vocabulary_than_that_of_the_start_is_named(
    trainers: dict[str, Trainer], text: Path, tmp_path: Path
) -> None:
    """A folder of an earlier run with other pieces: its ids mean other words."""
    folder = trainers["adaptive"].folder.parent / "older"
    Trainer(tiny("wait-k", vocabulary=330), text, folder)
    with pytest.raises(ConfigError, match="wait-k[a-z-]*.averaged has another vocabulary"):
        Trainer(tiny("adaptive"), text, folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m | {"policy_head": False}, "needs a model with `policy_head = true`"),
        (lambda m: {k: v for k, v in m.items() if k != "policy_head"}, "policy_head"),
    ],
)
def test_a_policy_run_without_a_head_is_named(
    change: Callable[[dict[str, object]], dict[str, object]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        tiny("adaptive", model=change(tiny("adaptive").model))
