"""Recipes: what is misspelt is an error, and those that ship are right."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamtrans import policy
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.models.model import Model
from streamtrans.models.recognizer import Recognizer, RecognizerConfig
from streamtrans.training.augmentation import Augmentation, SpecAugment
from streamtrans.training.recipe import (
    RECIPES,
    Corpus,
    Curriculum,
    Optimizer,
    Recipe,
    Speech,
    SpeechRecipe,
    load_recipe,
    load_text_recipe,
)

TASKS = [
    p.stem
    for p in sorted(RECIPES.glob("*.toml"))
    if p.stem != "systems" and not p.stem.endswith(("-speech", "-direct", "-live"))
]
SYSTEMS = list(tomllib.loads((RECIPES / "systems.toml").read_text()))
LEAST = """
name = "toy"
steps = 10
[model]
name = "toy"
[[train]]
path = "a.tsv"
[[dev]]
path = "b.tsv"
"""


def load(folder: Path, text: str) -> Recipe | SpeechRecipe:
    path = folder / "toy.toml"
    path.write_text(text)
    return load_recipe(path)


def test_the_least_recipe_has_defaults(tmp_path: Path) -> None:
    recipe = load(tmp_path, LEAST)
    corpora = dict(train=(Corpus("a.tsv"),), dev=(Corpus("b.tsv"),))
    assert recipe == Recipe(name="toy", model={"name": "toy"}, steps=10, **corpora)
    assert recipe.optimizer == Optimizer()


def test_every_table_is_read(tmp_path: Path) -> None:
    text = LEAST.replace('"a.tsv"', '"a.tsv"\nrepeat = 6') + "[optimizer]\nrate = 0.5\n"
    recipe = load(tmp_path, text + '[[dev]]\npath = "c.tsv"\nwords = 7\n')
    assert recipe.train == (Corpus("a.tsv", repeat=6),)
    assert recipe.dev == (Corpus("b.tsv"), Corpus("c.tsv", words=7))
    assert recipe.optimizer == Optimizer(rate=0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps", "step"), "unknown key step;"),
        (('path = "a.tsv"', 'path = "a.tsv"\nrepeats = 2'), "train: unknown key repeats"),
        (('path = "b.tsv"', 'file = "b.tsv"'), "dev: unknown key file"),
        (("[model]", "[optimizer]\nlr = 1\n[model]"), "optimizer: unknown key lr"),
        (("steps = 10", ""), "steps"),
        (('[[train]]\npath = "a.tsv"', ""), r"no \[\[train\]\] corpus"),
        (('[[dev]]\npath = "b.tsv"', ""), r"no \[\[dev\]\] corpus"),
        (("steps = 10", "steps = "), "toy.toml"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """A misspelt key that is silently ignored is a night of training with the default."""
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, LEAST.replace(*change))


def test_a_missing_recipe_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.toml"):
        load_recipe(tmp_path / "none.toml")


def test_recipes_are_found_by_name_or_by_file(tmp_path: Path) -> None:
    own = tmp_path / "toy.toml"
    own.write_text(LEAST)
    assert load_recipe(str(own)) == load_recipe(own)
    for task in TASKS:
        assert load_recipe(task).name == task
    assert load_recipe("multi30k.en-fr/mma-il").name == "multi30k.en-fr/mma-il"


@pytest.mark.parametrize(
    "name", ["toy", "systems", "toy/wait-k", "multi30k.en-fr/toy", "systems/wait-k", ""]
)
def test_a_name_nobody_has_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(
        ConfigError,
        match=f"no recipe '{name}': shipped are en-fr-direct, en-fr-live, en-fr-speech, en-fr-text,.*mma-il",
    ):
        load_recipe(name)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("system", [None, *SYSTEMS])
def test_every_shipped_recipe_builds_its_model(task: str, system: str | None) -> None:
    name = f"{task}/{system}" if system else task
    recipe = load_recipe(name)
    config = build(ModelConfig, {**recipe.model, "vocabulary": recipe.vocabulary}, recipe.name)
    chosen = policy.parse(config.policy)
    assert chosen.name == config.policy and recipe.name == name
    assert not chosen.learned or config.decides
    assert recipe.steps > recipe.optimizer.warmup and 1 <= recipe.lowest_k <= recipe.highest_k
    for other in filter(None, (recipe.start, recipe.teacher)):
        assert other in SYSTEMS
    with torch.device("meta"):
        assert sum(p.numel() for p in Model(config).parameters()) > 100_000


def test_a_recipe_that_goes_on_with_a_model_takes_no_other_system() -> None:
    recipe, text = load_text_recipe("en-fr-live"), load_text_recipe("en-fr-text")
    assert (recipe.start, recipe.model) == ("en-fr-text", text.model)
    assert {corpus.spoken for corpus in recipe.train} == {"", "en"}
    with pytest.raises(ConfigError, match="en-fr-live goes on with en-fr-text"):
        load_recipe("en-fr-live/wait-k")


def test_a_system_changes_what_it_names_and_keeps_the_rest_of_its_task() -> None:
    task, system = load_recipe("multi30k.en-fr"), load_recipe("multi30k.en-fr/adaptive")
    changed = {"policy_head": True, "policy": "adaptive-1-6:0.7"}
    assert system.model == {**task.model, **changed, "name": "adaptive.multi30k.en-fr"}
    assert system.start in SYSTEMS and (system.steps, system.full) == (200, 0.0)
    assert system.optimizer == replace(task.optimizer, warmup=10)
    assert (system.train, system.dev, system.tokens) == (task.train, task.dev, task.tokens)


@pytest.mark.parametrize("name", ["en-fr-speech", "zh-en-speech"])
def test_a_shipped_recipe_of_speech_builds_its_model(name: str) -> None:
    """Stored in bfloat16 it has to stay under 20 MB."""
    recipe = load_recipe(name)
    assert isinstance(recipe, SpeechRecipe) and recipe.steps > recipe.optimizer.warmup
    config = build(RecognizerConfig, {**recipe.model, "vocabulary": recipe.vocabulary}, recipe.name)
    with torch.device("meta"):
        assert 7e6 < sum(p.numel() for p in Recognizer(config).parameters()) < 10e6
    paths = [corpus.text or corpus.recordings for corpus in recipe.train + recipe.dev]
    dev = {corpus.text for corpus in recipe.dev if corpus.text}
    assert all(dev <= set(corpus.without) for corpus in recipe.train if corpus.swap)
    assert not any("test" in path or "arctic" in path for path in paths)
    held_out = {c.recordings: c.held_out for c in recipe.dev if c.recordings}
    assert all(c.held_out == held_out.get(c.recordings, c.held_out) for c in recipe.train)


SPEECH = """
kind = "speech"
name = "toy"
steps = 10
[model]
name = "toy"
[[train]]
recordings = "a.tsv"
[[dev]]
text = "b.tsv"
"""


def test_a_recipe_of_speech_reads_its_tables(tmp_path: Path) -> None:
    tables = "[augmentation]\nnoise = [1.0, 2.0]\n[masks]\nbands = 3\n[curriculum]\nsteps = 5\n"
    recipe = load(tmp_path, SPEECH + tables)
    corpora = dict(train=(Speech(recordings="a.tsv"),), dev=(Speech(text="b.tsv"),))
    assert recipe == SpeechRecipe(
        name="toy",
        model={"name": "toy"},
        steps=10,
        curriculum=Curriculum(5),
        augmentation=Augmentation(noise=(1.0, 2.0)),
        masks=SpecAugment(bands=3),
        **corpora,
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"speech"', '"speach"'), "kind 'speach'"),
        (("steps = 10", "steps = 10\ntokens = 4"), "unknown key tokens"),
        (('recordings = "a.tsv"', 'path = "a.tsv"'), "train: unknown key path"),
        (('recordings = "a.tsv"', 'recordings = "a.tsv"\ntext = "b"'), "either `text` or"),
        (('text = "b.tsv"', 'text = "b.tsv"\nshare = 0'), "share must be over 0"),
        (("[model]", "[masks]\nband = 1\nbnads = 2\n[model]"), "masks: unknown key bnads"),
        (("steps = 10", "steps = 10\nintermediate = 1.0"), "intermediate must be"),
        (("steps = 10", "steps = 10\nseconds = 0"), "seconds must be"),
    ],
)
def test_speech_that_cannot_be_meant_is_said(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, SPEECH.replace(*change))


def test_text_and_speech_are_not_mistaken_for_each_other() -> None:
    with pytest.raises(ConfigError, match="is a recipe of speech; one of text is needed"):
        load_text_recipe("en-fr-speech")
    with pytest.raises(ConfigError, match="systems are of text"):
        load_recipe("en-fr-speech/wait-k")
    assert load_text_recipe("en-fr-text") == load_recipe("en-fr-text")


def test_the_policy_objective_needs_a_trained_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`policy` needs `start`"):
        load(tmp_path, 'objective = "policy"\n' + LEAST)
    with pytest.raises(ConfigError, match="known are translation, policy"):
        load(tmp_path, 'objective = "polcy"\n' + LEAST)
