"""Which searched keys change a model's structure, and which may differ between lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Of the section `train`; all others are the same in the lanes of a cohort.
LANE_KEYS = frozenset(
    {
        "train.epochs",
        "train.steps",
        "train.optimizer.lr",
        "train.optimizer.weight_decay",
        "train.optimizer.beta1",
        "train.optimizer.beta2",
        "train.optimizer.momentum",
        "train.optimizer.muon_lr",
        "train.schedule.name",
        "train.schedule.warmup",
        "train.clip_norm",
        "train.label_smoothing",
        "train.ema",
        "train.patience",
        "train.seed",
    }
)
# Of those the ones that a trial may change while it trains.
LIVE_KEYS = LANE_KEYS - {
    "train.epochs",
    "train.steps",
    "train.ema",
    "train.patience",
    "train.seed",
}
_MODEL = "model."
# What a module keeps elsewhere than in its own attributes, or what is no structure.
_NOT_STRUCTURE = {"_parameters", "_buffers", "_modules", "training"}


def structural_values(
    params: Mapping[str, Any],
    alternatives: Mapping[str, Iterable[Any]],
    build: Callable[[Mapping[str, Any]], nn.Module],
) -> dict[str, Any]:
    """The searched values that all lanes of a cohort must share.

    A key of the model may differ between lanes if it leaves all attributes of the model's modules
    and all shapes as they are, so that its value lies in a tensor, as a dropout probability does.
    That is found out by building the model with other values of the key.

    Args:
        params: of the first trial, by dotted key.
        alternatives: other values that a key may take.
        build: makes the model of given searched values.
    """
    model = build(params)

    def shared(key: str) -> bool:
        if not key.startswith(_MODEL):
            return key not in LANE_KEYS
        return not all(
            _builds_same(model, build, {**params, key: value}) for value in alternatives[key]
        )

    return {key: value for key, value in params.items() if shared(key)}


def live_keys(
    params: Mapping[str, Any],
    alternatives: Mapping[str, Iterable[Any]],
    build: Callable[[Mapping[str, Any]], nn.Module],
) -> set[str]:
    """The searched keys whose values a trial may change while it trains.

    A key of the model is one if it changes the structure no more than `structural_values` allows,
    and nothing that `state_dict` holds: the value of a dropout probability is beside the state,
    that of an initial scale has had its effect.

    Args:
        params: of a trial, by dotted key.
        alternatives: other values that a key may take.
        build: makes the model of given searched values; of one seed, whatever they are.
    """
    fixed = structural_values(params, alternatives, build)
    state = build(params).state_dict()

    def live(key: str) -> bool:
        if not key.startswith(_MODEL):
            return key in LIVE_KEYS
        others = (build({**params, key: value}).state_dict() for value in alternatives[key])
        return key not in fixed and all(
            _equal(each, other[name]) for other in others for name, each in state.items()
        )

    return {key for key in params if live(key)}


def same_structure(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models differ in the values of their tensors alone, and so can be stacked.

    Attributes that a module's class names in `lane_attributes` may differ, buffers that it names
    in `shared_buffers` may not.
    """
    mine, theirs = dict(one.named_modules()), dict(other.named_modules())
    return mine.keys() == theirs.keys() and all(
        same_module(module, theirs[name]) for name, module in mine.items()
    )


def _builds_same(
    model: nn.Module, build: Callable[[Mapping[str, Any]], nn.Module], params: Mapping[str, Any]
) -> bool:
    try:
        other = build(params)
    except Exception:  # noqa: BLE001 - the user's code; the trial that has that value will tell
        return False
    return same_structure(model, other)


def same_module(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules are of one structure, those within them aside."""
    if type(one) is not type(other) or _tensors(one) != _tensors(other):
        return False
    free = _NOT_STRUCTURE | set(getattr(type(one), "lane_attributes", ()))
    mine, theirs = vars(one), vars(other)
    if mine.keys() != theirs.keys():
        return False
    shared = getattr(type(one), "shared_buffers", ())
    return all(_equal(mine[name], theirs[name]) for name in mine.keys() - free) and all(
        _equal(getattr(one, name), getattr(other, name)) for name in shared
    )


def _tensors(module: nn.Module) -> list[tuple[str, torch.Size, torch.dtype, bool]]:
    own = {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }
    return [(name, each.shape, each.dtype, each.requires_grad) for name, each in own.items()]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool((one == other).all())
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - whatever cannot be compared may differ
        return False
