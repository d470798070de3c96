import copy
import importlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rayml.config.components.build import check
from rayml.config.compose import config_folder
from rayml.errors import BuildError, ConfigError, InvalidConfigError, SpaceError
from rayml.tasks.objectives import Objective
from rayml.train.build import apply, build_loop, build_model, objective, train_settings
from rayml.train.loop.streaming import ParquetSplit
from rayml.types import Examples, Features, TargetInfo

KEYS = {"model.width": st.integers(1, 9), "train.optimizer.lr": st.floats(0.1, 1)}


@given(st.fixed_dictionaries({}, optional=KEYS))
def test_params_replace_their_keys_and_nothing_else(params):
    base = {
        "model": {"_target_": "m.Net", "width": 0},
        "task": {"metric": None},
        "train": {"optimizer": {"lr": 0.0, "name": "adamw"}},
        "search": {"trials": 3},
    }
    before = copy.deepcopy(base)
    config = apply(base, params)
    assert base == before
    assert config["model"]["width"] == params.get("model.width", 0)
    assert config["train"]["optimizer"]["lr"] == params.get("train.optimizer.lr", 0.0)
    assert config["model"]["_target_"] == "m.Net"
    assert set(config) == {"model", "task", "train"}


@pytest.mark.parametrize(
    "key", ["model.widht", "search.trials", "model", "train.epochs.x", "train.no.lr"]
)
def test_an_unknown_key_is_refused_by_name(config, key):
    with pytest.raises(SpaceError, match=f"'{key}'"):
        apply(config | {"search": {"trials": 3}}, {key: 1})


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(InvalidConfigError) as caught:
        train_settings({"epochs": 0, "optimizer": {"name": "lion"}, "epoch": 3})
    text = str(caught.value)
    assert all(key in text for key in ("train.epochs", "train.optimizer.name", "train.epoch:"))


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_shipped_models_bind_and_their_spaces_name_their_keys(name, shape):
    model = read("model", name)
    check(model, "shape", "outputs")
    base = {"model": model, "task": {}, "train": read("train", "default")}
    params = {key: low(leaf) for key, leaf in leaves(read("space", name))}
    config = apply(base, params)
    train_settings(config["train"] | {"seed": 0})
    outputs = build_model(config["model"], shape=shape, outputs=2)(
        torch.zeros(3, shape.numeric), torch.zeros(3, len(shape.cardinalities), dtype=torch.int64)
    )
    assert outputs.shape == (3, 2)


def read(group, name):
    return yaml.safe_load((config_folder() / group / f"{name}.yaml").read_text())


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if "type" in value:
            yield f"{prefix}{key}", value
        else:
            yield from leaves(value, f"{prefix}{key}.")


def low(leaf):
    return leaf["choices"][0] if leaf["type"] == "categorical" else leaf["low"]


USERS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, shape, outputs, *, hidden=4):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(shape.numeric, hidden), torch.nn.Linear(hidden, outputs))

    def forward(self, numeric, categorical):
        return self.layers(numeric)

class Profit:
    direction = "maximize"

    def __init__(self, gain):
        self.gain = gain

    def __call__(self, prediction, target):
        return self.gain * ((prediction > 0.5) == target).float().sum()
"""


@pytest.fixture
def users_package(tmp_path, monkeypatch):
    (tmp_path / "mypkg.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("mypkg", None)


@pytest.mark.usefixtures("users_package")
def test_a_users_model_and_metric_are_trained_and_optimised(
    config, train, validation, shape, target
):
    config["model"] = {"_target_": "mypkg.Net", "hidden": 3}
    config["task"] |= {
        "metric": "profit",
        "metrics": {"profit": {"_target_": "mypkg.Profit", "gain": 2.0}},
    }
    assert objective(config["task"], "binary") == Objective("profit", "maximize")
    loop = build_loop(config, train=train, validation=validation, shape=shape, target=target)
    metrics = loop.run_epoch().metrics
    assert loop.best.value == metrics["profit"] == pytest.approx(400 * metrics["accuracy"])


def test_splits_on_disk_train_as_those_in_memory(config, shape, target, train, tmp_path):
    def decode(table: pa.Table) -> Examples:
        rows = table["row"].to_numpy()
        features = train.features
        return Examples(
            Features(features.numeric[rows], features.categorical[rows]), train.target[rows]
        )

    pq.write_table(pa.table({"row": range(len(train))}), tmp_path / "a.parquet")
    split = ParquetSplit((tmp_path / "a.parquet",), decode)
    loop = build_loop(config, train=split, validation=split, shape=shape, target=target)
    memory = build_loop(config, train=train, validation=train, shape=shape, target=target)
    while not loop.finished:
        result = loop.run_epoch()
        memory.run_epoch()
    assert result.steps == 8
    assert loop.best.value == pytest.approx(memory.best.value, abs=0.05)


def test_another_task_than_the_datas_is_refused(config, train, shape):
    info = TargetInfo("y", "regression")
    with pytest.raises(ConfigError, match=r"prepared for the task 'regression'"):
        build_loop(config, train=train, validation=train, shape=shape, target=info)


def test_a_model_that_is_no_module_is_refused(shape):
    with pytest.raises(ConfigError, match=r"makes a dict, which is no torch\.nn\.Module"):
        build_model({"_target_": "builtins.dict"}, shape=shape, outputs=1)


def test_wrong_arguments_are_refused_before_training(shape):
    node = {"_target_": "rayml.models.nets.mlp.MLP", "widht": 3}
    with pytest.raises(BuildError, match="does not take these arguments"):
        build_model(node, shape=shape, outputs=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")
def test_a_gpu_that_is_absent_is_told(config, train, shape, target):
    config["train"]["device"] = "cuda"
    with pytest.raises(ConfigError, match=r"search\.resources\.gpu"):
        build_loop(config, train=train, validation=train, shape=shape, target=target)
