"""A cohort trains compiled, or in bfloat16, where that is wanted or measured to pay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayml.errors import TrainError
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.settings.train import OptimizerSettings, TrainSettings
from rayml.tasks.table import build_task
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import CPU, ArrayBatches
from rayml.train.loop.results import EpochResult
from rayml.train.speed import accelerator
from rayml.train.speed.acceleration import Prospect
from rayml.train.speed.accelerator import Accelerator
from rayml.train.speed.compiler import Backend, why_no_compiler
from rayml.types import Examples, FeatureShape, TargetInfo

MUCH = 10**9
Make = Callable[..., LaneLoop]
MODELS: dict[str, Callable[[FeatureShape], nn.Module]] = {
    "mlp": lambda shape: MLP(shape, 1, width=8, depth=1),
    "resnet": lambda shape: TabularResNet(shape, 1, width=8, depth=1),
}


class Counting:
    """A compiler that changes nothing, and counts."""

    def __init__(self) -> None:
        self.compiled = 0
        self.run = 0

    def __call__(self, module: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.compiled += 1

        def run(*given: Any) -> Any:
            self.run += 1
            return module(*given)

        return run


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator, "_known", {})
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


@pytest.fixture
def make(train: Examples, validation: Examples, shape: FeatureShape, target: TargetInfo) -> Make:
    def loop(lanes: int, **settings: Any) -> LaneLoop:
        return LaneLoop(
            [new_lane(i, shape, **settings) for i in range(lanes)],
            build_task(target),
            ArrayBatches(train, 100),
            ArrayBatches(validation, 100),
        )

    return loop


def new_lane(number: int, shape: FeatureShape, *, model: str = "mlp", **settings: Any) -> NewLane:
    torch.manual_seed(number)
    made = MODELS[model](shape)
    return NewLane(number, made, TrainSettings(batch_size=100, **settings))


def expect(monkeypatch: pytest.MonkeyPatch, prospect: Prospect) -> None:
    monkeypatch.setattr(accelerator, "PRIOR", {"cpu": prospect, "cuda": prospect})


def test_it_is_compiled_once_for_the_lanes_it_begins_with(make: Make) -> None:
    backend = Counting()
    loop = make(4)
    first = Accelerator("always", backend=backend)
    (told,) = first.start(loop, MUCH)
    assert "compiled" in told
    before = backend.run
    loop.run_epoch()
    assert backend.run == before + 5
    loop.drop([1])
    loop.run_epoch()
    assert backend.run == before + 5
    again = make(4)
    first.go_on(again)
    again.run_epoch()
    assert backend.run == before + 10
    assert backend.compiled == 1


def assert_trains_as_others(make: Make, shape: FeatureShape, backend: Backend, **kind: Any) -> None:
    """Also beside lanes that are dropped and lanes that join."""
    kind |= {"label_smoothing": 0.1}
    loop, other = make(3, **kind), make(3, **kind)
    Accelerator("always", backend=backend).start(loop, MUCH)
    assert loop.gradients.compiled is not None
    for epoch in range(4):
        mine, theirs = loop.run_epoch(), other.run_epoch()
        for number, result in mine.items():
            assert isinstance(result, EpochResult)
            same = theirs[number]
            assert isinstance(same, EpochResult)
            assert result.loss == pytest.approx(same.loss, rel=1e-4)
            assert dict(result.metrics) == pytest.approx(dict(same.metrics), rel=2e-3, abs=6e-3)
        for each in (loop, other):
            if epoch == 1:
                each.drop([1])
            if epoch == 2:
                each.add([new_lane(5, shape, **kind)])


@pytest.mark.parametrize(("model", "optimizer"), [("mlp", "adamw"), ("resnet", "sgd")])
def test_compiled_lanes_train_as_others(
    make: Make, shape: FeatureShape, model: str, optimizer: str
) -> None:
    kind = {"model": model, "optimizer": OptimizerSettings(name=optimizer)}  # type: ignore[arg-type]
    assert_trains_as_others(make, shape, Counting(), **kind)


@pytest.mark.slow
@pytest.mark.skipif(why_no_compiler(CPU) is not None, reason="needs a C++ compiler")
@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_the_real_compiler_makes_trains_as_others(
    make: Make, shape: FeatureShape, model: str, optimizer: str
) -> None:
    kind = {"model": model, "optimizer": OptimizerSettings(name=optimizer)}  # type: ignore[arg-type]
    assert_trains_as_others(make, shape, "inductor", **kind)


def test_deciding_trains_nothing(make: Make) -> None:
    loop, other = make(2), make(2)
    Accelerator("always", backend="eager").start(loop, MUCH)
    assert torch.equal(loop._stack.values, other._stack.values)
    assert not any(each.any() for each in loop._optimizer.state.values())


def test_little_work_stays_as_it_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, Prospect(10.0, 2.0))
    backend, loop = Counting(), make(2)
    (told,) = Accelerator("auto", backend=backend).start(loop, 10)
    assert told.startswith("not compiled: the remaining work is")
    assert backend.compiled == 0
    assert loop.gradients.compiled is None


def test_what_does_not_pay_is_given_up_and_remembered(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, Prospect(10.0, 2.0))
    backend, loop = Counting(), make(2)
    monkeypatch.setattr(accelerator, "_compare", lambda loop, switch: (1.0, 2.0))
    (told,) = Accelerator("auto", backend=backend).start(loop, MUCH)
    assert "compiled it is 0.50 times as fast" in told
    assert loop.gradients.compiled is None
    (told,) = Accelerator("auto", backend=backend).start(make(2), MUCH)
    assert told == "not compiled: compiled it is expected to be 0.50 times as fast"
    assert backend.compiled == 1


def test_what_pays_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, Prospect(10.0, 2.0))
    loop = make(2)
    monkeypatch.setattr(accelerator, "_compare", lambda loop, switch: (2.0, 1.0))
    (told,) = Accelerator("auto", backend="eager").start(loop, MUCH)
    assert told.startswith("compiled: 2.00 times as fast after")
    assert loop.gradients.compiled is not None


def test_never_and_unmeasured_decide_nothing(make: Make) -> None:
    backend, loop = Counting(), make(2)
    assert not Accelerator("never", backend=backend).start(loop, MUCH)
    assert not Accelerator("auto", measures=False, backend=backend).start(loop, MUCH)
    assert backend.compiled == 0


def test_without_a_compiler_auto_says_so_and_always_refuses(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, Prospect(10.0, 2.0))
    monkeypatch.setenv("CXX", "no-such-compiler")
    (told,) = Accelerator("auto").start(make(2), MUCH)
    assert told == "not compiled: there is no C++ compiler (no-such-compiler)"
    with pytest.raises(TrainError, match=r"no C\+\+ compiler .*search\.cohort\.compile=auto"):
        Accelerator("always").start(make(2), MUCH)


def test_a_compiler_that_fails_leaves_the_cohort_as_it_was(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(module: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        raise RuntimeError("no Python.h")

    expect(monkeypatch, Prospect(10.0, 2.0))
    loop = make(2)
    (told,) = Accelerator("auto", backend=broken).start(loop, MUCH)
    assert told.startswith("not compiled: ")
    assert "no Python.h" in told
    loop.run_epoch()
    with pytest.raises(TrainError, match=r"no Python\.h"):
        Accelerator("always", backend=broken).start(make(2), MUCH)


def test_bfloat16_is_a_matter_of_settings_on_a_cpu(make: Make) -> None:
    auto, asked = make(2), make(2, precision="bfloat16")
    assert not auto.gradients.bfloat16
    assert asked.gradients.bfloat16
    Accelerator("never").start(auto, MUCH)
    assert not auto.gradients.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_with_graphs_and_bfloat16(
    train: Examples, validation: Examples, shape: FeatureShape, target: TargetInfo
) -> None:
    device = torch.device("cuda")

    def loop() -> LaneLoop:
        lanes = [new_lane(i, shape) for i in range(8)]
        lanes = [NewLane(each.number, each.model.to(device), each.settings) for each in lanes]
        task = build_task(target)
        return LaneLoop(
            lanes, task, ArrayBatches(train, 100, device), ArrayBatches(validation, 100, device)
        )

    fast, plain = loop(), loop()
    precision, code = Accelerator("always").start(fast, MUCH)
    assert "bfloat16 is" in precision
    assert "times as fast" in code
    for _ in range(2):
        mine, theirs = fast.run_epoch(), plain.run_epoch()
        for number in mine:
            one, other = mine[number], theirs[number]
            assert isinstance(one, EpochResult)
            assert isinstance(other, EpochResult)
            assert one.loss == pytest.approx(other.loss, rel=5e-2)
        for each in (fast, plain):
            each.drop([each.lanes[-1].number])
