"""Settings: typed, checked, and helpful about typos."""

from __future__ import annotations

from pathlib import Path

import pytest

from neggen.config import EASEConfig, LightGCNConfig, NegGenConfig, SplitConfig
from neggen.errors import NegGenError
from neggen.overrides import flat, merged, override, parse_overrides
from neggen.recipe import Recipe
from neggen.workspace import read_toml, write_toml

CONFIGS = [EASEConfig, LightGCNConfig, NegGenConfig, SplitConfig]


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (EASEConfig, {"regularisation": 1.0}, "Did you mean 'regularization'"),
        (LightGCNConfig, {"LAYERS": 1}, "'LAYERS' is not a setting of LightGCNConfig. Did you mea"),
        (LightGCNConfig, {"qqq": 1}, r"Known keys: seed, device, .*layers"),
        (LightGCNConfig, {"dim": 0}, r"LightGCNConfig.dim = 0 is not allowed: .* greater than"),
        (LightGCNConfig, {"dim": "many"}, r"LightGCNConfig.dim = 'many' is not allowed"),
        (LightGCNConfig, {"learning_rate": float("nan")}, r"learning_rate = nan is not allowed"),
        (NegGenConfig, {"base": 3}, r"NegGenConfig.base = 3 is not allowed"),
        (NegGenConfig, {"metric": "ndcg@5"}, "NegGenConfig.metric = 'ndcg@5' is not allowed"),
        (SplitConfig, {"kind": "rnadom"}, r"SplitConfig.kind = 'rnadom' is not allowed"),
        (SplitConfig, {"test_share": 0.9}, r"SplitConfig.test_share = 0.9 is not allowed"),
        (SplitConfig, {"test_share": 0.3}, "'random' has a rule of its own .* leave the shares"),
        (SplitConfig, {"kind": "given", "valid_share": 0.3}, "one of time, cold-items"),
    ],
)
def test_a_wrong_setting_ends_in_one_helpful_sentence(config, values, message) -> None:
    with pytest.raises(NegGenError, match=message) as caught:
        config.build(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_survive_a_file(config, tmp_path: Path) -> None:
    written = config()
    write_toml(tmp_path / "recipe.toml", written.model_dump())
    assert config.build(read_toml(tmp_path / "recipe.toml")) == written


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_is_described(config) -> None:
    undescribed = [
        name
        for name, field in config.model_fields.items()
        if not field.description and name not in ("seed", "kind", "learning_rate")
    ]
    assert undescribed == []


def test_updating_copies_and_checks_again() -> None:
    config = LightGCNConfig()
    assert config.updated(layers=5).layers == 5
    assert config.layers == 3
    with pytest.raises(NegGenError, match="layers = 0"):
        config.updated(layers=0)
    with pytest.raises(ValueError, match="frozen"):
        config.layers = 2


def test_where_and_how_often_to_save_is_no_part_of_the_identity() -> None:
    incidental = {"device": "cuda", "checkpoint_seconds": 1.0}
    config = NegGenConfig.build({**incidental, "base": {**incidental, "layers": 2}})
    assert config.identity() == NegGenConfig(base={"layers": 2}).identity()


def test_the_published_settings_are_those_of_the_recipe() -> None:
    recipe = Recipe.read(Path(__file__).parents[1] / "recipes" / "neggen-paper.toml")
    assert NegGenConfig.build(recipe.settings) == NegGenConfig.paper()
    assert NegGenConfig.paper(dim=32).dim == 32


def test_overrides_are_read_as_toml_and_nest() -> None:
    given = ["alpha=0.01", "base.layers=2", "base.metric=ndcg@20", "flag=true", "name = 'a=b'"]
    assert parse_overrides([*given, "list=[1, 2]"]) == {
        "alpha": 0.01,
        "base": {"layers": 2, "metric": "ndcg@20"},
        "flag": True,
        "name": "a=b",
        "list": [1, 2],
    }
    config = NegGenConfig.build(parse_overrides(["base.layers=2", "dim=32"]))
    assert (config.base, config.dim) == ({"layers": 2}, 32)


@pytest.mark.parametrize("names", [("sampler", "sampler.top"), ("sampler.top", "sampler")])
def test_what_has_a_name_can_be_named_and_set_in_any_order(names: tuple[str, str]) -> None:
    said = {"sampler": "sampler=dns", "sampler.top": "sampler.top=2"}
    assert parse_overrides([said[name] for name in names]) == {"sampler": {"name": "dns", "top": 2}}
    assert merged({"sampler": "dns"}, {"sampler": {"top": 2}}) == parse_overrides(said.values())
    assert merged({"sampler": {"name": "dns"}}, {"sampler": "srns"}) == {"sampler": "srns"}
    other = {"sampler": {"name": "srns", "memory": 4}}
    assert merged({"sampler": {"name": "dns", "top": 2}}, other) == other, "top was the other's"


@pytest.mark.parametrize("settings", [["alpha"], ["=3"], [" =3"], ["base=1", "base.layers=2"]])
def test_overrides_that_make_no_sense_are_refused(settings: list[str]) -> None:
    with pytest.raises(NegGenError, match="--set"):
        parse_overrides(settings)


def test_merging_goes_into_tables_and_changes_neither() -> None:
    base, changes = {"a": 1, "base": {"layers": 3, "dim": 8}}, {"base": {"layers": 2}, "b": 4}
    assert merged(base, changes) == {"a": 1, "base": {"layers": 2, "dim": 8}, "b": 4}
    assert base == {"a": 1, "base": {"layers": 3, "dim": 8}}
    assert merged({"a": {"b": 1}}, {"a": 2}) == {"a": 2}


def test_unreadable_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"missing.toml does not exist"):
        read_toml(tmp_path / "missing.toml")
    with pytest.raises(NegGenError, match="cannot be read"):
        read_toml(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"alpha = \xff")
    with pytest.raises(NegGenError, match=r"bad.toml is not valid TOML"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    "value",
    [0.5, 3, True, "embedding", "recall@20", "3", "true", "", [1, 2], [], {"name": "dns", "top": 2},
     [{"name": "uniform"}, {"name": "dns", "candidates": 4}], "{", 'a "b"'],
)  # fmt: skip
def test_an_override_is_read_as_it_was_written(value) -> None:
    assert parse_overrides([override("key.inner", value)]) == {"key": {"inner": value}}


def test_settings_by_dotted_name() -> None:
    nested = {"a": 1, "base": {"b": [2], "deeper": {"c": "3"}}, "empty": {}}
    assert dict(flat(nested)) == {"a": 1, "base.b": [2], "base.deeper.c": "3"}
