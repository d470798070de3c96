"""Odd modules train alone or as lanes with the values of a plain loop, or are refused clearly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rayml.tasks.table import build_task
from rayml.train.blame import explain
from rayml.train.build import build_lane, build_loop, train_settings
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate
from rayml.train.optimizers.schedule import rate
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.train.speed.probe import why_not_alike, why_not_stacked
from rayml.train.speed.process import reset_process
from rayml.types import Examples, FeatureShape, TargetInfo
from tests.odd_models import FAILS, TRAINS, Drawn, Lambda, Raises, RaisesAtOnce

# Of those that train: what can be lanes. A change here is worth knowing of.
LANES = {"Plain", "Writes", "WritesByNumPy", "Weak", "Lazy", "Frozen"}


@pytest.fixture
def data(
    train: Examples, validation: Examples, shape: FeatureShape, target: TargetInfo
) -> dict[str, Any]:
    return {"train": train, "validation": validation, "shape": shape, "target": target}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    reset_process(train_settings({}))


def own(config: dict[str, Any], model: type[nn.Module], **train: Any) -> dict[str, Any]:
    node = {"_target_": f"tests.odd_models.{model.__name__}"}
    return {**config, "model": node, "train": {**config["train"], "epochs": 2, **train}}


def plainly(config: dict[str, Any], data: dict[str, Any]) -> list[float]:
    """Validation losses of two epochs, by the loop that anybody would write."""
    settings = train_settings(config["train"])
    model = build_lane(0, config, shape=data["shape"], target=data["target"]).model
    task = build_task(data["target"])
    batches = ArrayBatches(data["train"], settings.batch_size)
    held_out = ArrayBatches(data["validation"], 64)
    options = settings.optimizer
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, weight_decay=options.weight_decay)
    losses, step = [], 0
    for epoch in range(settings.epochs):
        model.train()
        for batch in batches.epoch(settings.seed, epoch):
            optimizer.zero_grad()
            factor = rate(settings.schedule, step, settings.epochs * batches.steps)
            optimizer.param_groups[0]["lr"] = options.lr * factor
            task.loss(model(batch.numeric, batch.categorical), batch.target).backward()
            optimizer.step()
            step += 1
        losses.append(evaluate(model, task, held_out)["loss"])
    return losses


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("model", [each for each in TRAINS if each is not Drawn])
def test_an_odd_module_trains_as_a_plain_loop_trains_it(
    model: type[nn.Module], config: dict[str, Any], data: dict[str, Any]
) -> None:
    config = own(config, model)
    wanted = plainly(config, data)
    loop = build_loop(config, **data)
    alone = [loop.run_epoch().metrics["loss"] for _ in range(2)]
    # Before a normalisation a bias has no gradient but rounding, which AdamW makes a step of.
    assert alone == pytest.approx(wanted, rel=2e-3 if "Norm" in model.__name__ else 1e-4)
    # As lanes if they can be, which gives the same.
    seeds = [config["train"]["seed"], 11]
    first, _ = sorted(train_seeds(config, seeds, **data), key=lambda each: each.seed)
    assert isinstance(first, SeedResult)
    best = loop.best.epoch - 1
    assert first.best.metrics["loss"] == pytest.approx(wanted[best], rel=2e-3)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_which_odd_modules_can_be_lanes(config: dict[str, Any], data: dict[str, Any]) -> None:
    task, batches = build_task(data["target"]), ArrayBatches(data["train"], 64)
    found, reasons = set(), {}
    for model in TRAINS:
        lane, twin = (
            build_lane(0, own(config, model), shape=data["shape"], target=data["target"])
            for _ in range(2)
        )
        reason = why_not_stacked(lane, task, batches) or why_not_alike(lane.model, twin.model)
        reasons[model.__name__] = reason
        if reason is None:
            found.add(model.__name__)
        else:
            assert "\n" not in reason
    assert found == LANES, reasons
    assert "differs in an attribute" in reasons[Lambda.__name__]


@pytest.mark.parametrize("model", FAILS)
def test_a_module_that_cannot_train_is_told_of_once_and_clearly(
    model: type[nn.Module], config: dict[str, Any], data: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=FAILS[model]) as caught:
        build_loop(own(config, model), **data).run_epoch()
    told = explain(caught.value)
    assert "\n" not in told
    if model in (Raises, RaisesAtOnce):
        assert "odd_models.py:" in told
        assert ': raise ValueError("' in told
    # Asking whether it can be a lane raises nothing.
    if model is not RaisesAtOnce and model.__name__ != "Extra":
        lane = build_lane(0, own(config, model), shape=data["shape"], target=data["target"])
        task, batches = build_task(data["target"]), ArrayBatches(data["train"], 64)
        reason = why_not_stacked(lane, task, batches)
        assert reason or model.__name__ == "Undefined"


@pytest.mark.parametrize("model", [each for each in TRAINS if each.__name__.startswith("Writes")])
def test_what_a_module_writes_to_its_inputs_reaches_nobody(
    model: type[nn.Module], config: dict[str, Any], data: dict[str, Any]
) -> None:
    splits = (data["train"], data["validation"])
    before = [(each.features.numeric.copy(), each.features.categorical.copy()) for each in splits]
    for each in splits:  # as arrays in the object store are
        each.features.numeric.flags.writeable = False
    config = own(config, model)
    list(train_seeds(config, [1, 2], **data))
    build_loop(config, **data).run_epoch()
    for each, (numeric, categorical) in zip(splits, before, strict=True):
        assert (each.features.numeric == numeric).all()
        assert (each.features.categorical == categorical).all()


def test_numbers_of_numpy_follow_from_the_seed(
    config: dict[str, Any], data: dict[str, Any], tmp_path: Any
) -> None:
    def trained(seed: int) -> Any:
        return build_loop(own(config, Drawn, seed=seed), **data)

    first = trained(3)
    one = [first.run_epoch().loss for _ in range(2)]
    second = trained(3)
    losses = [second.run_epoch().loss]
    second.save(tmp_path)
    resumed = trained(3)
    resumed.restore(tmp_path)
    assert [*losses, resumed.run_epoch().loss] == one
    assert trained(4).run_epoch().loss != one[0]
    # Other draws in the process change nothing.
    torch.rand(3)
    np.random.rand(3)
    assert trained(3).run_epoch().loss == one[0]
