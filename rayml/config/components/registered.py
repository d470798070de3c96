"""The components that a stored file may name: rayml's own, and what makes one of each role."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

Role = Literal["model", "source", "metric", "optimizer", "sampler", "pruner"]

# Nothing else below `rayml.` is a component, though it may be callable.
OWN: Mapping[Role, frozenset[str]] = {
    "model": frozenset(
        {
            "rayml.models.linear.linear_model.LinearModel",
            "rayml.models.nets.ft_transformer.FTTransformer",
            "rayml.models.nets.mlp.MLP",
            "rayml.models.nets.resnet.TabularResNet",
            "rayml.models.nets.tabm.TabM",
            "rayml.models.trees.lightgbm.LightGBM",
            "rayml.models.trees.xgboost.XGBoost",
        }
    ),
    "source": frozenset(
        {
            "rayml.data.sources.bundled.SklearnSource",
            "rayml.data.sources.files.FileSource",
            "rayml.data.sources.sql.SqlSource",
            "rayml.data.sources.uci.AdultSource",
            "rayml.data.sources.uci.OnlineShoppersSource",
        }
    ),
    "metric": frozenset(),
    "optimizer": frozenset(
        f"torch.optim.{name}"
        for name in (
            *("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
            "SGD",
        )
    ),
    "sampler": frozenset(),
    "pruner": frozenset(),
}
OWN_ESTIMATORS: frozenset[str] = frozenset(
    {
        "rayml.models.linear.linear_model.LinearModel",
        "rayml.models.trees.lightgbm.LightGBM",
        "rayml.models.trees.xgboost.XGBoost",
    }
)
"""Rayml's own models that are estimators, known without importing them."""

GIVEN: Mapping[Role, tuple[str, ...]] = {"model": ("shape", "outputs"), "optimizer": ("params",)}
"""Arguments that only the program knows, which no file gives."""

EXPECTED: Mapping[Role, str] = {
    "model": "a subclass of torch.nn.Module or of rayml.models.estimators.estimator.Estimator",
    "source": "a class with fingerprint() and read()",
    "metric": "a class whose objects are called with predictions and targets",
    "optimizer": "a subclass of torch.optim.Optimizer",
    "sampler": "a subclass of optuna.samplers.BaseSampler",
    "pruner": "a class with seen(), decide() and completed()",
}


_ESTIMATOR = ("fit", "predict", "save", "load", "keep", "explain")


def is_component(found: object, role: Role) -> bool:
    """Whether something is a component of a role.

    A function counts if its return annotation says that it makes one: nothing is known of the
    other functions of a module.
    """
    made = made_class(found)
    return made is not None and _KINDS[role](made)


def made_class(found: object) -> type[Any] | None:
    """The class of what a component makes: itself, or what a function is annotated to return."""
    if inspect.isfunction(found):
        try:
            found = typing.get_type_hints(found).get("return")
        except Exception:  # noqa: BLE001 - annotations of the user's code may raise anything
            return None
    return found if inspect.isclass(found) else None


def _is_model(found: type[Any]) -> bool:
    # The class itself lies in a room above this one.
    if all(callable(getattr(found, name, None)) for name in _ESTIMATOR):
        return True
    from torch import nn

    return issubclass(found, nn.Module)


def _is_optimizer(found: type[Any]) -> bool:
    from torch.optim import Optimizer

    return issubclass(found, Optimizer)


def _is_sampler(found: type[Any]) -> bool:
    from optuna.samplers import BaseSampler

    return issubclass(found, BaseSampler)


def _is_pruner(found: type[Any]) -> bool:
    return all(callable(getattr(found, name, None)) for name in ("seen", "decide", "completed"))


def _is_source(found: type[Any]) -> bool:
    return all(callable(getattr(found, name, None)) for name in ("fingerprint", "read"))


def _is_metric(found: type[Any]) -> bool:
    # Not by `callable`, which any class is.
    return any("__call__" in vars(each) for each in found.__mro__)


_KINDS: Mapping[Role, Callable[[type[Any]], bool]] = {
    "model": _is_model,
    "source": _is_source,
    "metric": _is_metric,
    "optimizer": _is_optimizer,
    "sampler": _is_sampler,
    "pruner": _is_pruner,
}
