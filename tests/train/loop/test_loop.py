import math

import numpy as np
import pytest
import torch
from torch import nn

from rayml.errors import CheckpointError, ConfigError, DivergedError, TrainError
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.build import apply, build_loop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.loop import TrainingLoop
from rayml.types import Examples, TargetInfo


@pytest.fixture
def make(config, train, validation, shape, target):
    """Builds the loop of a trial whose config differs in some keys."""

    def make(validation: Examples = validation, **train_settings) -> TrainingLoop:
        changed = config | {"train": config["train"] | train_settings}
        return build_loop(changed, train=train, validation=validation, shape=shape, target=target)

    return make


def run(loop: TrainingLoop) -> list[tuple]:
    curve = []
    while not loop.finished:
        result = loop.run_epoch()
        curve.append((result.epoch, result.loss, dict(result.metrics)))
    return curve


@pytest.mark.parametrize(
    "optimizer",
    [{"lr": 0.01}, {"name": "sgd", "lr": 0.1}, {"name": "muon", "lr": 0.01, "muon_lr": 0.03}],
)
def test_it_learns(make, optimizer):
    curve = run(make(optimizer=optimizer, epochs=10))
    assert [epoch for epoch, *_ in curve] == list(range(1, 11))
    assert curve[-1][1] < curve[0][1]
    assert curve[-1][2]["accuracy"] > 0.85


def test_an_epoch_tells_its_steps_and_seconds(make):
    result = make().run_epoch()
    assert result.steps == math.ceil(500 / 64)
    assert result.train_seconds > 0
    assert result.eval_seconds > 0


@pytest.mark.parametrize("size", [16, 64, 600])
def test_steps_end_a_trial_whatever_its_batch_size(make, size):
    loop = make(batch_size=size, steps=25, eval_steps=10)
    results = []
    while not loop.finished:
        results.append(loop.run_epoch())
    assert [each.epoch for each in results] == [1, 2, 3]  # rounded up
    assert [each.steps for each in results] == [10, 10, 10]


def test_patience_counts_evaluations(make):
    loop = make(steps=1000, eval_steps=1, patience=2, optimizer={"lr": 1e-12})
    assert len(run(loop)) < 20


def test_a_pass_of_full_batches_is_an_epoch(make):
    epochs = make(batch_size=125, epochs=3)
    steps = make(batch_size=125, steps=12, eval_steps=4)
    assert run(steps) == run(epochs)


def test_a_trial_of_steps_goes_on_from_its_checkpoint(make, tmp_path):
    given = {"batch_size": 48, "steps": 40, "eval_steps": 8}
    whole = run(make(**given))
    loop = make(**given)
    begun = [loop.run_epoch() for _ in range(2)]
    loop.save(tmp_path)
    again = make(**given)
    again.restore(tmp_path)
    assert [(each.epoch, each.loss, dict(each.metrics)) for each in begun] == whole[:2]
    assert run(again) == whole[2:]
    with pytest.raises(CheckpointError):
        make(**given | {"eval_steps": 10}).restore(tmp_path)


def test_the_seed_alone_decides_the_bits(make):
    first = run(make())
    torch.rand(10)  # other draws in the process do not matter
    assert run(make()) == first
    assert run(make(seed=8)) != first


@pytest.mark.parametrize(
    "optimizer", [{}, {"name": "sgd", "momentum": 0.0}, {"name": "sgd"}, {"name": "muon"}]
)
@pytest.mark.parametrize("stop", [0, 1, 3])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_restored_trial_equals_an_uninterrupted_one(make, tmp_path, optimizer, stop, ema):
    whole, interrupted, restored = (make(optimizer=optimizer, ema=ema) for _ in range(3))
    curve = run(whole)
    begun = [interrupted.run_epoch() for _ in range(stop)]
    interrupted.save(tmp_path)
    restored.restore(tmp_path)
    assert len(begun) + len(rest := run(restored)) == len(curve)
    assert rest == curve[stop:]
    assert restored.best == whole.best
    assert equal(restored.best_weights(), whole.best_weights())
    assert equal(restored.model.state_dict(), whole.model.state_dict())


class Noisy(nn.Module):
    """A user's module with PyTorch's own dropout and running statistics."""

    def __init__(self, shape, outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(shape.numeric, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(8, outputs),
        )  # fmt: skip

    def forward(self, numeric, categorical):
        return self.layers(numeric)


def test_a_users_module_is_restored_bit_for_bit_too(train, validation, shape, target, tmp_path):
    def loop() -> TrainingLoop:
        torch.manual_seed(0)
        batches = ArrayBatches(train, 64), ArrayBatches(validation, 200)
        return TrainingLoop(Noisy(shape, 1), build_task(target), *batches, TrainSettings(epochs=4))

    whole, interrupted, restored = loop(), loop(), loop()
    curve = run(whole)
    interrupted.run_epoch()
    interrupted.save(tmp_path)
    restored.restore(tmp_path)
    torch.rand(10)
    assert run(restored) == curve[1:]
    assert equal(restored.best_weights(), whole.best_weights())


def test_the_best_epoch_is_the_first_with_the_best_value(make):
    loop = make(epochs=6, optimizer={"lr": 0.1})
    values = [metrics["accuracy"] for _, _, metrics in run(loop)]
    assert loop.best.value == max(values)
    assert loop.best.epoch == values.index(max(values)) + 1


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_best_weights_reproduce_the_best_metrics(make, ema):
    loop = make(epochs=6, optimizer={"lr": 0.1}, ema=ema)
    run(loop)
    loop.model.load_state_dict(loop.best_weights())
    from rayml.train.loop.evaluate import evaluate

    values = evaluate(loop.model, loop.task, loop._validation)
    assert values == loop.best.metrics


def test_patience_ends_a_trial_also_across_a_restore(make, tmp_path):
    # Without learning nothing gets better after the first epoch.
    idle = {"optimizer": {"lr": 1e-12, "weight_decay": 0.0}, "epochs": 10, "patience": 2}
    assert len(run(make(**idle))) == 3
    loop, restored = make(**idle), make(**idle)
    loop.run_epoch()
    loop.run_epoch()
    loop.save(tmp_path)
    restored.restore(tmp_path)
    assert len(run(restored)) == 1


def test_a_finished_trial_refuses_another_epoch(make):
    loop = make(epochs=1)
    loop.run_epoch()
    with pytest.raises(TrainError, match="finished"):
        loop.run_epoch()


def test_there_are_no_best_weights_before_the_first_epoch(make):
    with pytest.raises(TrainError, match="no epoch is finished"):
        make().best_weights()


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 1e30}, {"lr": 1e38}])
def test_a_loss_that_is_not_finite_raises(make, optimizer):
    with pytest.raises(DivergedError, match=r"loss is not finite.*train\.optimizer\.lr"):
        run(make(optimizer=optimizer))


def test_clipping_keeps_a_wild_step_in_bounds(make):
    tame = make(optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.0},
                schedule={"name": "constant"}, clip_norm=1e-3, epochs=1)  # fmt: skip
    before = {name: each.clone() for name, each in tame.model.state_dict().items()}
    result = tame.run_epoch()
    moved = torch.cat([(tame.model.state_dict()[k] - v).flatten() for k, v in before.items()])
    assert 0 < float(moved.norm()) <= 0.1 * 1e-3 * result.steps * 1.001


def test_label_smoothing_keeps_probabilities_from_the_extremes(make):
    sharp, smooth = make(epochs=8), make(epochs=8, label_smoothing=0.4)
    run(sharp)
    run(smooth)
    assert smooth.best.metrics["log_loss"] > sharp.best.metrics["log_loss"]


def one_class(validation: Examples) -> Examples:
    return Examples(validation.features, np.zeros_like(validation.target))


def test_an_undefined_metric_does_not_fail_a_trial_unless_it_is_optimised(
    make, validation, config, tmp_path
):
    loop, restored = (make(validation=one_class(validation), epochs=2) for _ in range(2))
    assert math.isnan(loop.run_epoch().metrics["auroc"])
    loop.save(tmp_path)
    restored.restore(tmp_path)
    assert math.isnan(restored.best.metrics["auroc"])
    config["task"]["metric"] = "auroc"
    with pytest.raises(DivergedError, match="auroc is not finite"):
        make(validation=one_class(validation)).run_epoch()


def test_a_checkpoint_of_another_trial_is_refused(make, config, tmp_path):
    make().save(tmp_path)
    with pytest.raises(CheckpointError, match="another model or other settings"):
        make(seed=8).restore(tmp_path)
    config["model"]["width"] = 17
    with pytest.raises(CheckpointError, match="another model or other settings"):
        make().restore(tmp_path)


def test_what_does_not_change_the_result_may_differ(make, tmp_path):
    make().save(tmp_path)
    make(threads=2, eval_batch_size=50, device="cpu").restore(tmp_path)


def test_regression_is_optimised_by_its_error(config, train, validation, shape):
    def values(examples: Examples) -> Examples:
        return Examples(examples.features, examples.features.numeric[:, 0].copy())

    info = TargetInfo("y", "regression", mean=50.0, scale=10.0)
    changed = apply(config, {"task.name": "regression", "train.epochs": 10})
    loop = build_loop(
        changed, train=values(train), validation=values(validation), shape=shape, target=info
    )
    curve = run(loop)
    assert loop.best.value == min(metrics["rmse"] for *_, metrics in curve) < 5
    assert loop.best.metrics["r2"] > 0.75


def test_a_model_of_a_wrong_shape_is_refused(train, validation, shape, target):
    batches = ArrayBatches(train, 64), ArrayBatches(validation, 200)
    loop = TrainingLoop(Noisy(shape, 2), build_task(target), *batches, TrainSettings())
    with pytest.raises(ConfigError, match=r"\(64, 2\)"):
        loop.run_epoch()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
