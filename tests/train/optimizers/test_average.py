"""Averages of weights: what they are, and when they count."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rayml.settings.train import OptimizerSettings, TrainSettings
from rayml.tasks.table import build_task
from rayml.testing.rows import learnable, task_of
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.loop import TrainingLoop
from rayml.train.loop.results import EpochResult, fixed
from rayml.train.optimizers.average import Average, is_better, share, swapped
from rayml.types import FeatureShape, TargetInfo

SHAPE = FeatureShape(3, (4,))


def test_the_first_steps_count_more() -> None:
    assert share(0.0, 5) == 1.0
    assert share(0.99, 0) == pytest.approx(0.9)
    assert share(0.99, 10**6) == pytest.approx(0.01)


def test_a_lane_without_a_decay_has_its_weights() -> None:
    values = torch.zeros(2, 3)
    average = Average(values, [0.5, 0.0])
    values += 1.0
    average.step(values, torch.tensor([[0.25], [1.0]]))
    assert average.values is not None
    assert average.values.tolist() == [[0.25] * 3, [1.0] * 3]


def test_none_is_kept_until_a_lane_asks_for_one() -> None:
    values, new = torch.ones(1, 3), torch.full((1, 3), 2.0)
    average = Average(values, [0.0])
    average.add(values, new, [0.0])
    average.keep(torch.tensor([0]))
    assert average.values is None
    average.add(values, new, [0.9])
    assert average.values is not None
    assert average.values.tolist() == [[1.0] * 3, [2.0] * 3]
    average.keep(torch.tensor([1]))
    assert average.values.tolist() == [[2.0] * 3]


def test_weights_are_back_after_a_swap_and_after_an_error() -> None:
    values, average = torch.zeros(3), torch.ones(3)
    view = values[1:]
    with swapped(values, average):
        assert view.tolist() == [1.0, 1.0]
    assert view.tolist() == [0.0, 0.0]
    with pytest.raises(ZeroDivisionError), swapped(values, average):
        1 / 0  # noqa: B018
    assert view.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("name", "better"), [("regression", False), ("binary", True)])
def test_better_is_by_the_optimised_metric(name: Any, better: bool) -> None:
    info = TargetInfo("y", name, ("no", "yes") if name == "binary" else ())
    task = build_task(info)
    high, low, nan = ({task.metric: value} for value in (0.9, 0.5, float("nan")))
    assert is_better(high, low, task) is better
    assert is_better(low, high, task) is not better
    assert not is_better(nan, low, task)
    assert not is_better(low, nan, task)
    assert not is_better(low, low, task)


def loop(ema: float, epochs: int = 4, lr: float = 0.1) -> TrainingLoop:
    train, held = (learnable("regression", SHAPE, rows, rows) for rows in (400, 200))
    settings = TrainSettings(
        epochs=epochs, batch_size=20, ema=ema, optimizer=OptimizerSettings(name="sgd", lr=lr)
    )
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.linear = torch.nn.Linear(3, 1)  # type: ignore[assignment]
    model.forward = lambda numeric, _: model.linear(numeric)  # type: ignore[assignment, operator, method-assign]
    batches = ArrayBatches(train, 20), ArrayBatches(held, 200)
    return TrainingLoop(model, task_of("regression"), *batches, settings)


def test_noisy_weights_are_worse_than_their_average() -> None:
    plain, averaged = loop(0.0), loop(0.95)
    for _ in range(4):
        one, other = plain.run_epoch(), averaged.run_epoch()
        assert one.loss == other.loss  # training itself is the same
        assert other.metrics["rmse"] <= one.metrics["rmse"]
    assert averaged.best is not None
    assert plain.best is not None
    assert averaged.best.value < plain.best.value
    assert not torch.equal(
        averaged.best_weights()["linear.weight"], averaged.model.state_dict()["linear.weight"]
    )


def test_what_is_kept_is_what_was_measured() -> None:
    averaged = loop(0.95)
    for _ in range(4):
        averaged.run_epoch()
    assert averaged.best is not None
    averaged.model.load_state_dict(averaged.best_weights())
    from rayml.train.loop.evaluate import evaluate

    found = evaluate(averaged.model, averaged.task, averaged._validation)
    assert found == averaged.best.metrics


def test_lanes_that_ask_for_averages_change_no_others() -> None:
    train, held = (learnable("binary", SHAPE, rows, rows) for rows in (400, 200))

    def lanes(*decays: float) -> LaneLoop:
        new = []
        for number, ema in enumerate(decays):
            torch.manual_seed(number)
            settings = TrainSettings(epochs=3, batch_size=50, ema=ema, seed=number)
            from rayml.models.nets.mlp import MLP

            new.append(NewLane(number, MLP(SHAPE, 1, width=8), settings))
        return LaneLoop(new, task_of("binary"), ArrayBatches(train, 50), ArrayBatches(held, 200))

    mixed, plain = lanes(0.0, 0.9), lanes(0.0, 0.0)
    for _ in range(3):
        one, other = mixed.run_epoch()[0], plain.run_epoch()[0]
        assert isinstance(one, EpochResult)
        assert isinstance(other, EpochResult)
        assert (one.loss, one.metrics) == (other.loss, other.metrics)


def test_checkpoints_of_trials_without_averages_are_those_of_before() -> None:
    assert "ema" not in fixed(TrainSettings())
    assert fixed(TrainSettings(ema=0.9))["ema"] == 0.9
