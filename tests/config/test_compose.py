"""Configs compose as Hydra does, and every error is reported, not the first one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.config.compose import add_import_paths, compose, config_folder, groups
from rayml.errors import ConfigError, InvalidConfigError


def test_the_default_config_is_sound() -> None:
    config = compose().typed()
    assert config.data.name == config.name == "breast_cancer"
    assert config.task.name == "binary"


def test_overrides_reach_the_typed_settings() -> None:
    config = compose(["train.epochs=3", "train.optimizer.lr=0.1", "seed=7", "name=mine"]).typed()
    assert (config.train.epochs, config.train.optimizer.lr) == (3, 0.1)
    assert (config.train.seed, config.data.split.seed) == (7, 7)
    assert config.name == "mine"


def test_all_problems_of_composition_are_reported_together() -> None:
    composed = compose(["train.epoch=3", "data=no_such", "train.batch_size=64", "serve.prot=1"])
    assert len(composed.problems) == 3
    text = "\n".join(composed.problems)
    assert "train.epoch: unknown key; did you mean" in text
    assert "no_such" in text
    assert "serve.prot: unknown key; did you mean serve.port" in text
    with pytest.raises(InvalidConfigError, match="3 problems"):
        composed.typed()


def test_all_bad_values_are_reported_together() -> None:
    problems = compose(
        ["train.epochs=none", "train.optimizer.lr=-1", "+search.sampler.colour=red", "name=a/b"]
    ).problems
    keys = {problem.partition(":")[0] for problem in problems}
    assert keys == {"train.epochs", "train.optimizer.lr", "search.sampler.colour", "name"}


@pytest.mark.parametrize("key", ["model", "data.source"])
def test_a_component_without_a_target_is_told(key: str) -> None:
    (problem,) = compose([f"~{key}._target_"]).problems
    assert problem.startswith(f"{key}: ")
    assert "_target_" in problem


def test_missing_values_name_their_keys() -> None:
    problems = compose(["data=csv"]).problems
    assert any(problem.startswith("data.target: a value is missing") for problem in problems)


def test_names_are_added_to_a_mapping_of_settings() -> None:
    override = "search.constraints={parameters: {max: 9}}"
    for each in (override, f"+{override}"):
        assert compose([each]).typed().search.constraints["parameters"].max == 9


def test_names_added_to_a_mapping_of_anything_are_explained() -> None:
    override = "search.sampler.options.deep={a: 1}"
    (problem,) = compose(["search.sampler.options={deep: {b: 1}}", override]).problems
    assert problem == (
        "search.sampler.options.deep: its keys are names that you choose; to add one write"
        f" +{override}"
    )


def test_a_broken_override_is_explained() -> None:
    (problem,) = compose(["train.epochs=[1"]).problems
    assert problem.startswith("train.epochs=[1:")


def test_a_broken_interpolation_is_explained() -> None:
    (problem,) = compose(["name=${nothing.there}"]).problems
    assert "nothing.there" in problem


@pytest.mark.parametrize("name", ["conf", "it's my conf, too", "a=b"])
def test_a_users_folder_adds_options(tmp_path: Path, name: str) -> None:
    tmp_path /= name
    (tmp_path / "train").mkdir(parents=True)
    (tmp_path / "train" / "tiny.yaml").write_text("defaults: [default]\nepochs: 1\n")
    config = compose(["train=tiny"], [tmp_path]).typed()
    assert config.train.epochs == 1
    assert "tiny" in groups([tmp_path])["train"]
    assert "default" in groups([tmp_path])["train"]


def test_a_users_broken_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "torn.yaml").write_text("epochs: [1\nseed: 2\n")
    (problem,) = compose(["train=torn"], [tmp_path]).problems
    assert problem.startswith("train=torn: ")
    assert "torn.yaml, line 2: expected ',' or ']'" in problem


def test_a_config_dir_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config-dir"):
        compose([], [tmp_path / "absent"])


def test_import_paths_hold_the_parents_of_config_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # restores sys.path afterwards
    conf = tmp_path / "mine" / "conf"
    conf.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert add_import_paths([conf]) == [str(tmp_path), str(tmp_path / "mine")]


def test_the_yaml_of_a_config_composes_to_itself() -> None:
    import yaml

    composed = compose(["data=wine", "train.epochs=4"])
    assert yaml.safe_load(composed.yaml()) == composed.plain


def test_the_config_folder_holds_the_primary_config() -> None:
    assert (config_folder() / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://shop:s3cret@db:5432/orders", "postgresql://shop:***@db:5432/orders"),
        ("postgresql://db/orders?user=a&password=s3cret", "db/orders?user=a&password=***"),
    ],
)
def test_the_yaml_of_a_config_holds_no_password(url: str, masked: str) -> None:
    composed = compose(
        [
            "data=sql",
            "data.name=d",
            "data.task=binary",
            "data.target=y",
            f"data.source.url={url!r}",
            "data.source.query='select 1'",
        ]
    )
    assert composed.problems == ()
    assert composed.plain["data"]["source"]["url"] == url
    assert "s3cret" not in composed.yaml()
    assert masked in composed.yaml()


@pytest.mark.parametrize(
    ("overrides", "epochs", "patience", "least"),
    [
        ([], 20, None, 1),
        (["model=lightgbm"], 200, 10, 8),
        (["model=lightgbm", "train=fast"], 10, None, 8),
        (["model=lightgbm", "search=median"], 200, 10, 8),
        (["train.epochs=7", "search.pruner.min_epochs=2", "model=lightgbm"], 7, 10, 2),
    ],
)
def test_a_model_may_have_values_of_training_that_suit_it(
    overrides: list[str], epochs: int, patience: int | None, least: int
) -> None:
    config = compose(overrides).typed()
    assert (config.train.epochs, config.train.patience) == (epochs, patience)
    assert config.search.pruner.min_epochs == least
