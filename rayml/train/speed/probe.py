"""Tries a cohort out before it trains: whether its models stack, and how many train fastest."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rayml.errors import RaymlError, TrainError
from rayml.models.layers.dropout import Dropout, dropout_keys, set_dropout_keys
from rayml.tasks.task import Task
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.lanes.stack import StackedModel
from rayml.train.lanes.structure import same_module
from rayml.train.loop.batches import ArrayBatches, Batch
from rayml.train.loop.evaluate import forward
from rayml.train.loop.loop import TrainingLoop
from rayml.train.speed.capacity import Capacity, free_memory, measure_capacity

_ROWS = 32
_STEPS = 2
# Of an output, relative to the largest one; what float32 leaves of a few layers.
_TOLERANCE = 1e-3


def why_not_stacked(lane: NewLane, task: Task, train: ArrayBatches) -> str | None:
    """Why a model must train alone; None if it may be a lane.

    A copy and one with other weights are stacked, and must give in training and in evaluation what
    each gives alone: `torch.vmap` refuses some modules, and others would mix their lanes. Any
    exception on the way is a reason too: a module that cannot be copied trains alone, and one that
    cannot run raises again when it trains alone.
    """
    if lane.settings.optimizer.target is not None:
        return f"{lane.settings.optimizer.target} optimizes one model at a time"
    try:
        return _compare(lane, task, next(train.in_order(_ROWS)))
    except RaymlError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - vmap raises whatever the module meets
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def why_not_alike(one: nn.Module, other: nn.Module) -> str | None:
    """Why two models that were built from the same values differ in structure; None if they do not.

    Such a model can be stacked with its copies, and not with those of other trials.
    """
    mine, theirs = dict(one.named_modules()), dict(other.named_modules())
    for name, module in mine.items():
        if name not in theirs or not same_module(module, theirs[name]):
            place = f"its part {name}, a {type(module).__name__}," if name else "it"
            return f"built twice from the same values, {place} differs in an attribute"
    return None if mine.keys() == theirs.keys() else "built twice, it has other parts"


def _compare(lane: NewLane, task: Task, batch: Batch) -> str | None:
    models = [copy.deepcopy(lane.model), _changed(lane.model)]
    alone = [_outputs(model, lane.settings.seed, task, batch) for model in models]
    stack = StackedModel(models)
    for mode in (True, False):
        stack.train(mode)
        stack.set_dropout_keys(_keys(lane, stack.dropouts))
        given = stack(batch.numeric, batch.categorical)
        loss = task.members_loss if mode and stack.members else task.loss
        loss(given, batch.target).sum().backward()  # type: ignore[no-untyped-call]
        if not _close(given, torch.stack([each[mode] for each in alone])):
            return "stacked it gives other outputs than alone"
    return None


def measure_lanes(lane: NewLane, task: Task, train: ArrayBatches, most: int) -> Capacity:
    """Measure how many lanes of a structure train fastest together.

    Of one lane the loop of a single model is measured, in which it would train alone.

    Args:
        lane: the first one.
        task: gives the loss.
        train: the training split.
        most: lanes that are wanted at most.
    """

    def step(lanes: int) -> tuple[Callable[[], None], int]:
        return _alone(lane, task, train) if lanes == 1 else _steps(lane, task, train, lanes)

    return measure_capacity(step, most, free_memory(_device(lane)))


def lanes_in_memory(lane: NewLane, task: Task, train: ArrayBatches, most: int) -> int:
    """How many lanes of a structure fit together in what a cohort may take; at least one.

    Args:
        lane: the first one.
        task: gives the loss.
        train: the training split.
        most: lanes that are wanted at most.
    """
    _, held = _steps(lane, task, train, 1)
    return max(1, min(most, free_memory(_device(lane)) // max(held, 1)))


def _steps(
    lane: NewLane, task: Task, train: ArrayBatches, lanes: int
) -> tuple[Callable[[], None], int]:
    """What trains some steps of so many copies of a lane, and the bytes that a step holds."""
    copies = [NewLane(i, copy.deepcopy(lane.model), lane.settings) for i in range(lanes)]
    loop = LaneLoop(copies, task, train, train)
    run = _run(loop, _device(lane))
    held = _held(loop.parameters * lanes, run)
    return run, held + loop.gradients.kept


def _alone(lane: NewLane, task: Task, train: ArrayBatches) -> tuple[Callable[[], None], int]:
    """What trains some steps of one model, and the bytes that a step holds."""
    loop = TrainingLoop(copy.deepcopy(lane.model), task, train, train, lane.settings)
    run = _run(loop, _device(lane))
    return run, _held(loop.parameters, run)


def _run(loop: LaneLoop | TrainingLoop, device: torch.device) -> Callable[[], None]:
    def run() -> None:
        loop.try_steps(_STEPS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def _device(lane: NewLane) -> torch.device:
    return next(lane.model.parameters()).device


def _held(parameters: int, run: Callable[[], None]) -> int:
    """Bytes of what a step keeps for its backward pass, and of parameters with their state."""
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    # Values, gradient, two moments, the best epoch's values and a checkpoint's copy.
    return kept // _STEPS + 6 * 4 * parameters


@torch.no_grad()
def _changed(model: nn.Module) -> nn.Module:
    other = copy.deepcopy(model)
    for each in other.parameters():
        each.mul_(1.25).add_(0.01)
    return other


def _outputs(model: nn.Module, seed: int, task: Task, batch: Batch) -> dict[bool, Tensor]:
    dropouts = [each for each in model.modules() if isinstance(each, Dropout)]
    found = {}
    for mode in (True, False):
        model.train(mode)
        set_dropout_keys(dropouts, seed, 0)
        found[mode] = forward(model, task, batch).detach()
    return found


def _keys(lane: NewLane, layers: int) -> Tensor:
    """The keys of `_outputs`, for two lanes."""
    if not layers:
        return torch.empty(0)
    keys = dropout_keys([lane.settings.seed] * 2, [0, 0], 1, layers)[0]
    return torch.from_numpy(keys).to(next(lane.model.parameters()).device)


def _close(given: Tensor, wanted: Tensor) -> bool:
    if given.shape != wanted.shape:
        raise TrainError(
            f"stacked models return shape {tuple(given.shape)} and not {tuple(wanted.shape)}"
        )
    scale = wanted.abs().max().clamp(min=1.0)
    return bool(((given.detach() - wanted).abs() <= _TOLERANCE * scale).all())
