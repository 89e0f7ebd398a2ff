"""Recipes: what is misspelt is an error, and those that ship are right."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from streamtrans import policy
from streamtrans.models.config import ConfigError, ModelConfig, build
from streamtrans.training.recipe import Corpus, Optimizer, Recipe, find_recipe, load_recipe

SHIPPED = [
    path
    for path in files("streamtrans.training").joinpath("recipes").iterdir()
    if path.name.endswith(".toml")
]
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


def load(folder: Path, text: str) -> Recipe:
    path = folder / "toy.toml"
    path.write_text(text)
    return load_recipe(path)


def test_the_least_recipe_has_defaults(tmp_path: Path) -> None:
    recipe = load(tmp_path, LEAST)
    assert recipe == Recipe("toy", {"name": "toy"}, (Corpus("a.tsv"),), (Corpus("b.tsv"),), 10)
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


def test_some_recipes_ship_and_are_found_by_name(tmp_path: Path) -> None:
    assert SHIPPED
    for path in SHIPPED:
        assert find_recipe(path.name.removesuffix(".toml")).read_text() == path.read_text()
    own = tmp_path / "toy.toml"
    own.write_text(LEAST)
    assert find_recipe(str(own)) == own
    with pytest.raises(ConfigError, match="no recipe 'toy': shipped are .*en-fr-text"):
        find_recipe("toy")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.name))
def test_a_shipped_recipe_builds_its_model(path: Path) -> None:
    recipe = load_recipe(path)
    config = build(ModelConfig, {**recipe.model, "vocabulary": recipe.vocabulary}, recipe.name)
    assert policy.parse(config.policy).name == config.policy
    assert f"{recipe.name}.toml" == path.name
    assert recipe.steps > recipe.optimizer.warmup and 1 <= recipe.lowest_k <= recipe.highest_k
