"""Study files: what they may say, and the sentence for everything else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from neggen.comparison.source import Source
from neggen.comparison.space import packaged, samples, with_settings
from neggen.comparison.study import Study
from neggen.config import DRAWN_SPLITS, SplitConfig
from neggen.errors import NegGenError
from neggen.models import MODELS
from neggen.models.mf import MF

ROWS = """
[rows.ease]
model = "ease"
[rows.lightgcn]
model = "lightgcn"
settings = {dim = 8}
[rows.neggen]
model = "neggen"
base = "lightgcn"
settings = {tau = 0.5}
[rows.placebo]
model = "neggen"
same_search_as = "neggen"
negatives = "shuffled"
settings = {contrast = 0}
"""


def parse(text: str) -> Study:
    return Study.parse(tomllib.loads(text))


def test_what_tuning_chose_holds_for_those_who_take_it_over() -> None:
    study = parse(ROWS)
    chosen = {
        "lightgcn": {"layers": 2, "dim": 64},
        "neggen": {"contrast": 0.5, "base.regularization": 0.1},
    }
    base = {"metric": "ndcg@20", "layers": 2, "dim": 64}
    assert study.settings("lightgcn") == {"metric": "ndcg@20", "dim": 8}
    assert study.settings("lightgcn", chosen) == base
    base["regularization"] = 0.1
    neggen = {"tau": 0.5, "contrast": 0.5, "backbone": "lightgcn", "base": base}
    neggen["metric"] = "ndcg@20"
    assert study.settings("neggen", chosen) == neggen
    assert study.settings("placebo", chosen) == {**neggen, "contrast": 0}
    assert study.reference_row == "placebo"


@pytest.mark.parametrize(("metric", "chosen"), [("recall@10", "recall@10"), ("ndcg@5", "ndcg@20")])
def test_every_row_chooses_its_weights_by_what_is_compared(metric: str, chosen: str) -> None:
    study = parse(f"metric = '{metric}'\n{ROWS}")
    expected = {"metric": chosen}
    for name in ("lightgcn", "neggen", "placebo"):
        assert {k: v for k, v in study.settings(name).items() if k == "metric"} == expected
    assert "metric" not in study.settings("ease")
    own = parse("[rows.mf]\nmodel = 'mf'\nsettings = {metric = 'map@10'}")
    assert own.settings("mf") == {"metric": "map@10"}


def test_a_setting_inside_a_setting_can_be_searched() -> None:
    study = parse(
        "[rows.neggen]\nmodel = 'neggen'\n[rows.neggen.search]\ntau = [0.1, 0.2]\n"
        "base.layers = [1, 2]\nbase.regularization = {low = 0.01, high = 1, log = true}"
    )
    space = study.space("neggen")
    assert list(space) == ["tau", "base.layers", "base.regularization"]
    assert samples(space["base.layers"]) == [1, 2]


def test_data_of_other_imports_are_other_workspaces() -> None:
    data = {"source": "sets/movielens-1m"}
    names = [
        Source.build({**data, **options}).workspace_name
        for options in ({}, {"at_most": 12}, {"k_core": 5}, {"at_most": 12, "k_core": 5})
    ]
    assert names == [
        "movielens-1m",
        "movielens-1m-at-most-12",
        "movielens-1m-5-core",
        "movielens-1m-at-most-12-5-core",
    ]
    assert parse(ROWS).data is None


def test_the_split_of_the_source_if_it_has_one() -> None:
    study = parse(ROWS)
    assert study.on(labeled=True).split_config(3) == SplitConfig(kind="given")
    assert study.on(labeled=False).split_config(3) == SplitConfig(kind="random", seed=3)
    for kind in DRAWN_SPLITS:
        drawn = parse(f"split = '{kind}'\n{ROWS}").on(labeled=True)
        assert drawn.split_config(3) == SplitConfig(kind=kind, seed=3)


def test_every_model_has_a_usual_space_that_it_can_take() -> None:
    study = Study.parse({"rows": {model: {"model": model} for model in MODELS}})
    assert [model for model in MODELS if not study.space(model)] == ["popularity"]


def test_samplers_and_losses_are_tuned_where_a_row_names_them() -> None:
    samplers = {"generated", "popularity", "dns", "srns", "mixgcf", "ahns", "dens", "ans"}
    rows = {name: {"model": "mf", "settings": {"sampler": name}} for name in samplers}
    for loss in ("infonce", "ssm", "bsl"):
        sampler = {"name": "uniform", "negatives": 4}
        rows[loss] = {"model": "mf", "settings": {"sampler": sampler, "loss": loss}}
    rows["hinge"] = {"model": "mf", "settings": {"loss": "hinge"}}
    study = Study.parse({"rows": rows})
    for name, row in rows.items():
        for setting, values in study.space(name).items():
            for value in samples(values):
                MF(**with_settings(row["settings"], {setting: value}))
    usual = {"learning_rate", "regularization"}
    for name in rows:
        kind = "sampler." if name in samplers else "loss."
        own = set(study.space(name)) - usual
        assert own, name
        assert all(key.startswith(kind) for key in own)
    assert set(study.space("dns")) - usual == {"sampler.candidates"}


def test_what_a_row_sets_is_not_tuned_unless_it_says_so() -> None:
    sampler = {"name": "srns", "alpha": 1}
    row = {"model": "mf", "settings": {"learning_rate": 0.01, "sampler": sampler}}
    search = {"learning_rate": [0.001, 0.1]}
    study = Study.parse({"rows": {"usual": row, "searched": {**row, "search": search}}})
    assert set(study.space("usual")) == {"regularization", "sampler.memory"}
    assert set(study.space("searched")) == {"learning_rate"}


RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(RECIPES.glob("*.toml")) if path.stem != "neggen-paper"],
    ids=lambda path: path.stem,
)
def test_the_studies_that_come_along(path: Path) -> None:
    study = Study.read(path)
    assert study.reference in study.rows
    negatives = {row.negatives for row in study.rows.values() if row.model.startswith("neggen")}
    assert not negatives or "shuffled" in negatives, "a study shows what its negatives are worth"


def test_the_packaged_ablations() -> None:
    study = Study.read(packaged("ablations.toml"), seeds=2)
    assert study.seeds == 2
    assert {row.negatives for row in study.rows.values()} == {
        "generated", "shuffled", "none", "other-item", "random-slots", "catalog-generator",
    }  # fmt: skip
    assert set(study.sweeps) == {"contrast", "effect_weights", "alpha", "tau", "beta"}


@pytest.mark.parametrize(
    "text",
    [
        "model = 'mf'\nsettings = {sampler = 'generated'}",
        "model = 'mf'\nsearch = {sampler = ['uniform', {name = 'generated'}]}",
        "model = 'content-knn'",
        "model = 'neggen'\nbase = 'plain'",
        "model = 'neggen'\nbase = 'same'",
    ],
)
def test_rows_that_may_say_which_descriptions_they_see(text: str) -> None:
    same = "[rows.plain]\nmodel = 'mf'\n[rows.same]\nmodel = 'content-ease'\nmodality = 'own'\n"
    row = parse(f"{same}[rows.a]\n{text}\nmodality = 'own'").rows["a"]
    assert row.modality == "own"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Study.rows = {} is not allowed"),
        ("rows = 3", "rows = 3 is not a table."),
        (f"seed = 3\n{ROWS}", "'seed' is not a setting of Study. Did you mean 'seeds'?"),
        (f"metric = 'auc'\n{ROWS}", "Study.metric = 'auc' is not allowed"),
        (f"minutes = -1\n{ROWS}", "Study.minutes = -1 is not allowed"),
        (f"data = 3\n{ROWS}", "data = 3 is not a table."),
        (f"[data]\nsource = '/etc'\n{ROWS}", "In data: Source.source = '/etc' is not allowed"),
        (f"[data]\nsource = 'a/../b'\n{ROWS}", "In data: Source.source = 'a/../b' is not allowed"),
        (f"reference = 'eas'\n{ROWS}", "reference = 'eas' is no row of the study. Did you mean"),
        (f"{ROWS}\nagainst = 'nobody'", "against = 'nobody' is no row of the study"),
        ("[rows.a]\nmodel = 'eas'", "In rows.a: There is no model 'eas'. Did you mean 'ease'?"),
        ("[rows.a]\nmodel = 'ease'\nnegatives = 'none at all'", "In rows.a: Row.negatives"),
        ("[rows.a]\nmodel = 'ease'\nsettings = {seed = 1}", "rows.a sets a seed"),
        ("[rows.a]\nmodel = 'mf'\nsearch = {seed = [0, 1]}", "rows.a.search sets a seed"),
        (f"{ROWS}[sweeps.seed]\nrow = 'neggen'\nvalues = [0, 1]", "sweeps.seed sets a seed"),
        (
            f"{ROWS}[sweeps.luck]\nrow = 'neggen'\nsetting = 'seed'\nvalues = [0, 1]",
            "sweeps.luck sets a seed",
        ),
        (
            "[rows.a]\nmodel = 'ease'\nnegatives = 'shuffled'",
            "rows.a has negatives = 'shuffled', which changes nothing: ease with its settings",
        ),
        (
            "[rows.a]\nmodel = 'mf'\nsettings = {sampler = 'dns'}\n"
            "modality = 'own'\nnegatives = 'none'",
            "rows.a has negatives = 'none' and modality = 'own', which changes nothing",
        ),
        (
            "[rows.a]\nmodel = 'content-ease'\nmodality = 'own'\n"
            "[rows.b]\nmodel = 'neggen'\nbase = 'a'",
            "rows.b starts from 'a', which has modality = 'own', but a base learns from",
        ),
        (
            "[rows.a]\nmodel = 'content-ease'\nnegatives = 'none'\n"
            "[rows.b]\nmodel = 'neggen'\nbase = 'a'\nnegatives = 'none'\n"
            "[rows.c]\nmodel = 'neggen'\nsame_search_as = 'b'\nnegatives = 'shuffled'",
            "rows.c starts from 'a', which has negatives = 'none'",
        ),
        ("[rows.a]\nmodel = 'ease'\nsettings = {lamda = 1}", "In rows.a: 'lamda' is not a setting"),
        ("[rows.a]\nmodel = 'ease'\nsearch = {lamda = [1]}", "In rows.a.search: 'lamda' is not"),
        (
            "[rows.a]\nmodel = 'ease'\nsearch = {regularization = 5}",
            "rows.a.search.regularization = 5 is no search space",
        ),
        (
            "[rows.a]\nmodel = 'ease'\nsearch = {regularization = {low = 0, high = 1, log = true}}",
            "needs low < high, and with log 0 < low",
        ),
        (
            "[rows.a]\nmodel = 'lightgcn'\nsearch = {layers = {low = 1, high = 4}}",
            "In rows.a.search: LightGCNConfig.layers = ",
        ),
        (
            "[rows.a]\nmodel = 'ease'\nsearch = {regularization = [0]}",
            "In rows.a.search: EASEConfig.regularization = 0 is not allowed",
        ),
        (
            "[rows.a]\nmodel = 'ease'\nsame_search_as = 'b'",
            "rows.a.same_search_as = 'b' is no row of the study. Rows: a.",
        ),
        (
            f"{ROWS}[rows.x]\nmodel = 'neggen'\nsame_search_as = 'placebo'",
            "must name a row that has no same_search_as itself",
        ),
        (
            f"{ROWS}[rows.x]\nmodel = 'ease'\nsame_search_as = 'neggen'",
            "must name a row of the same model",
        ),
        (f"{ROWS}[rows.x]\nmodel = 'ease'\nbase = 'ease'", "rows.x has a base, which only"),
        (f"{ROWS}[sweeps.tau]\nrow = 'nego'\nvalues = [1, 2]", "sweeps.tau.row = 'nego' is no row"),
        (
            f"{ROWS}[sweeps.tau]\nrow = 'neggen'\nvalues = [1, -1]",
            "In sweeps.tau: NegGenConfig.tau = -1 is not allowed",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(NegGenError) as error:
        Study.read(path)
    assert str(error.value).startswith(f"The study {path} cannot be used: ")
    assert sentence in str(error.value)
