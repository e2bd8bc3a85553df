"""Recipes: what a TOML file says, what is typed over it, and the split that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from neggen.comparison.study import Study
from neggen.config import SplitConfig
from neggen.errors import NegGenError
from neggen.recipe import Recipe
from neggen.testing import refuses


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_everything_is_read(written) -> None:
    recipe = Recipe.read(
        written(
            'model = "lightgcn"\nsplit = "time"\nseed = 3\nsplit_seed = 1\n'
            "[settings]\ndim = 8\nlearning_rate = 0.1\n"
        )
    )
    assert recipe.model == "lightgcn"
    assert recipe.model_settings == {"seed": 3, "dim": 8, "learning_rate": 0.1}
    assert recipe.split_config(labeled=True).model_dump(include={"kind", "seed"}) == {
        "kind": "time",
        "seed": 0,  # this split has nothing random
    }


def test_an_empty_recipe_is_neggen_with_its_defaults(written) -> None:
    recipe = Recipe.read(written(""))
    assert recipe == Recipe()
    assert (recipe.model, recipe.model_settings) == ("neggen", {"seed": 0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modle = "ease"', r"recipe\.toml cannot be used: 'modle' .* Did you mean 'model'\?"),
        ('split = "rnd"', r"recipe\.toml .*split = 'rnd' is not allowed: Input should be"),
        ("seed = -1", r"recipe\.toml .*seed = -1 is not allowed"),
        ("split_seed = 0.5", r"recipe\.toml .*split_seed = 0\.5 is not allowed"),
        ("dim = 8", r"'dim' is not a setting of Recipe"),
        ("model = ease", r"recipe\.toml is not valid TOML: .* line 1"),
    ],
)
def test_what_is_wrong_is_named(written, text: str, message: str) -> None:
    with pytest.raises(NegGenError, match=message):
        Recipe.read(written(text))


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"none\.toml does not exist"):
        Recipe.read(tmp_path / "none.toml")


def test_what_is_typed_goes_over_what_is_written() -> None:
    recipe = Recipe(seed=3, settings={"dim": 8, "base": {"dim": 8, "layers": 2}})
    changed = recipe.with_changes({"base": {"layers": 1}, "device": "cpu"}, seed=4, model=None)
    assert changed.model == "neggen"
    assert changed.model_settings == {
        "seed": 4,
        "dim": 8,
        "base": {"dim": 8, "layers": 1},
        "device": "cpu",
    }
    assert recipe.settings["base"] == {"dim": 8, "layers": 2}
    with pytest.raises(NegGenError, match="seed = -1"):
        recipe.with_changes({}, seed=-1)


@pytest.mark.parametrize(
    ("recipe", "labeled", "kind", "seed"),
    [
        (Recipe(), False, "random", 0),
        (Recipe(), True, "given", 0),
        (Recipe(split="random"), True, "random", 0),
        (Recipe(seed=2), False, "random", 2),
        (Recipe(seed=2), True, "given", 0),
        (Recipe(seed=2, split_seed=0), False, "random", 0),
        (Recipe(seed=2, split_seed=5, split="cold-items"), False, "cold-items", 5),
        (Recipe(seed=2, split="popularity-shifted"), True, "popularity-shifted", 2),
        (Recipe(seed=2, split="leave-last"), False, "leave-last", 0),
    ],
)
def test_the_split(recipe: Recipe, labeled: bool, kind: str, seed: int) -> None:
    split = recipe.split_config(labeled)
    assert (split.kind, split.seed) == (kind, seed)


def test_shares_are_those_of_the_split_where_it_leaves_them_open() -> None:
    recipe = Recipe(split="time").with_changes({}, test_share=0.2)
    assert recipe.split_config(False).unusual_shares == {"test_share": 0.2}
    assert recipe.split_config(False).name == "time-0.1-0.2"
    assert Recipe().split_config(False) == SplitConfig()
    with refuses("'random' has a rule of its own", "leave the shares out"):
        Recipe(valid_share=0.2).split_config(False)
    with refuses("test_share"):
        Recipe().with_changes({}, test_share=0.7)
    study = Study.parse(
        {"split": "cold-items", "valid_share": 0.3, "rows": {"a": {"model": "ease"}}}
    )
    assert study.split_config(4) == SplitConfig(kind="cold-items", seed=4, valid_share=0.3)
