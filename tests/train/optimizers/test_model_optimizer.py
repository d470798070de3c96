"""A user's optimizer trains as a plain loop would, is saved without pickle, and trains alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rayml.errors import CheckpointError, ConfigError, RaymlError
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.build import build_lane, build_loop, train_settings
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rayml.train.loop.loop import TrainingLoop
from rayml.train.loop.results import fixed
from rayml.train.optimizers.model_optimizer import optimizer_node
from rayml.train.optimizers.schedule import rate
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.train.speed.probe import why_not_stacked
from rayml.types import Examples, FeatureShape, TargetInfo
from tests.odd_optimizers import Sign

SIGN = "tests.odd_optimizers.Sign"


@pytest.fixture
def data(
    train: Examples, validation: Examples, shape: FeatureShape, target: TargetInfo
) -> dict[str, Any]:
    return {"train": train, "validation": validation, "shape": shape, "target": target}


def own(config: dict[str, Any], **node: Any) -> dict[str, Any]:
    # As composed with the defaults of rayml's own.
    given = {"name": "adamw", "lr": 0.01, "weight_decay": 0.01, "beta1": 0.9, "_target_": SIGN}
    model = {"_target_": "tests.odd_models.Plain"}
    return {**config, "model": model, "train": {**config["train"], "optimizer": given | node}}


def loop_of(config: dict[str, Any], data: dict[str, Any]) -> TrainingLoop:
    return build_loop(config, **data)


def test_it_trains_as_in_a_plain_loop(config: dict[str, Any], data: dict[str, Any]) -> None:
    config = own(config, decay=0.5)
    settings = train_settings(config["train"])
    model = build_lane(0, config, shape=data["shape"], target=data["target"]).model
    task, batches = build_task(data["target"]), ArrayBatches(data["train"], settings.batch_size)
    optimizer = Sign(model.parameters(), lr=0.01, decay=0.5)
    for step, batch in enumerate(batches.epoch(settings.seed, 0)):
        optimizer.zero_grad()
        factor = rate(settings.schedule, step, settings.epochs * batches.steps)
        optimizer.param_groups[0]["lr"] = 0.01 * factor
        task.loss(model(batch.numeric, batch.categorical), batch.target).backward()
        optimizer.step()
    loop = loop_of(config, data)
    loop.run_epoch()
    for name, each in loop.model.state_dict().items():
        assert torch.allclose(each, model.state_dict()[name], atol=1e-6)


@pytest.mark.parametrize("named", [SIGN, "torch.optim.RMSprop", "torch.optim.Adam"])
def test_a_restored_loop_goes_on_to_the_bit(
    named: str, config: dict[str, Any], data: dict[str, Any], tmp_path: Path
) -> None:
    config = own(config, _target_=named)
    loop = loop_of(config, data)
    loop.run_epoch()
    loop.save(tmp_path)
    resumed = loop_of(config, data)
    resumed.restore(tmp_path)
    for each in (loop, resumed):
        each.run_epoch()
        each.run_epoch()
    for name, each in loop.model.state_dict().items():
        assert torch.equal(each, resumed.model.state_dict()[name])
    with pytest.raises(CheckpointError):
        loop_of(own(config, _target_=named, lr=0.2), data).restore(tmp_path)


def test_a_loop_whose_optimizer_refuses_a_checkpoint_is_as_it_was(
    config: dict[str, Any], data: dict[str, Any], tmp_path: Path
) -> None:
    loop = loop_of(own(config), data)
    loop.run_epoch()
    loop.save(tmp_path)
    saved = load_checkpoint(tmp_path)
    # As of a class whose code has changed since.
    save_checkpoint(tmp_path, Checkpoint(saved.tensors, {**saved.state, "optimizer": None}))
    fresh = loop_of(own(config), data)
    before = {name: each.clone() for name, each in fresh.model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another optimizer than .*Sign"):
        fresh.restore(tmp_path)
    assert fresh.epoch == 0
    for name, each in fresh.model.state_dict().items():
        assert torch.equal(each, before[name])


def test_its_trials_train_alone_seeds_too(config: dict[str, Any], data: dict[str, Any]) -> None:
    config = own(config)
    lane = build_lane(0, config, shape=data["shape"], target=data["target"])
    reason = why_not_stacked(lane, build_task(data["target"]), ArrayBatches(data["train"], 64))
    assert reason == f"{SIGN} optimizes one model at a time"
    results = list(train_seeds(config, [1, 2], **data))
    assert [type(each) for each in results] == [SeedResult, SeedResult]


def test_keys_of_raymls_own_reach_a_class_that_names_them() -> None:
    node = {"_target_": SIGN, "name": "adamw", "lr": 0.1, "beta1": 0.9, "decay": 0.5}
    assert optimizer_node(node) == {"_target_": SIGN, "lr": 0.1, "decay": 0.5}
    adam = optimizer_node({**node, "_target_": "torch.optim.Adam", "weight_decay": 0.2})
    assert adam == {
        "_target_": "torch.optim.Adam", "lr": 0.1, "weight_decay": 0.2, "decay": 0.5
    }  # fmt: skip
    with pytest.raises(ConfigError, match="plain values"):
        optimizer_node({**node, "decay": {"_target_": "os.system"}})


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "tests.odd_optimizers.Nothing"}, "no torch.optim.Optimizer"),
        ({"_target_": "tests.odd_optimizers.Unsaved"}, r"state.state.0.lock is a object"),
        ({"rho": 1}, "unexpected keyword argument 'rho'"),
        ({"_target_": "tests.odd_optimizers.Absent"}, "does not import"),
        ({"_target_": 3}, "train.optimizer.target"),
    ],
)
def test_what_is_wrong_with_it_is_told(
    node: dict[str, Any], words: str, config: dict[str, Any], data: dict[str, Any]
) -> None:
    with pytest.raises(RaymlError, match=words):
        loop_of(own(config, **node), data).run_epoch()


def test_settings_without_one_are_as_older_checkpoints_have_them() -> None:
    assert set(fixed(TrainSettings())["optimizer"]) == {  # type: ignore[call-overload]
        "name", "lr", "weight_decay", "beta1", "beta2", "momentum"
    }  # fmt: skip
