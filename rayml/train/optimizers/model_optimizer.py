"""The optimizer of one model: rayml's own over a flat buffer, or a class of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from rayml.config.components.build import TARGET, build, is_node, locate
from rayml.errors import CheckpointError, ConfigError
from rayml.settings.train import OptimizerSettings
from rayml.train.optimizers.muon import Matrix, hidden_matrices
from rayml.train.optimizers.optim import LaneOptimizer, Rates
from rayml.train.optimizers.plain_state import pack, unpack

# The keys that rayml's own config gives an optimizer, whatever its class takes.
_OWN = ("name", "lr", "weight_decay", "beta1", "beta2", "momentum", "muon_lr")


class ModelOptimizer(Protocol):
    """Updates one model from the gradients that lie in its parameters."""

    def step(self, factor: float) -> None:
        """Update the parameters in place; `factor` is that of the peak learning rate."""

    def save(self) -> tuple[dict[str, Tensor], Any]:
        """What the next step depends on: tensors by name, and the rest as JSON."""

    def load(self, tensors: Mapping[str, Tensor], rest: Any) -> None:
        """Go on from what `save` gave.

        Raises:
            CheckpointError: it is of another optimizer.
        """


def build_optimizer(
    settings: OptimizerSettings, model: nn.Module, values: Tensor, gradient: Tensor
) -> ModelOptimizer:
    """The optimizer of a model.

    Args:
        settings: which one.
        model: its parameters are views of the values, and their gradients of the gradient.
        values: all trainable parameters, flat.
        gradient: theirs.

    Raises:
        ConfigError: the user's class is no optimizer, or does not take its arguments.
    """
    if settings.target is None:
        matrices = hidden_matrices(model) if settings.name == "muon" else ()
        return FlatOptimizer(settings, values, gradient, matrices)
    return UsersOptimizer(settings, [each for each in model.parameters() if each.requires_grad])


class FlatOptimizer:
    """AdamW, SGD or Muon over one flat tensor; see `LaneOptimizer`."""

    def __init__(
        self,
        settings: OptimizerSettings,
        values: Tensor,
        gradient: Tensor,
        matrices: Sequence[Matrix] = (),
    ) -> None:
        self._settings = settings
        self._values, self._gradient = values.unsqueeze(0), gradient.unsqueeze(0)
        width = values.numel()
        self._optimizer = LaneOptimizer(
            settings.name, 1, width, values.device, alone=True, matrices=matrices
        )

    def step(self, factor: float) -> None:
        """See `ModelOptimizer`."""
        rates = Rates(self._settings.lr * factor, self._settings)
        self._optimizer.step(self._values, self._gradient, [rates])

    def save(self) -> tuple[dict[str, Tensor], Any]:
        """See `ModelOptimizer`."""
        return {name: each[0] for name, each in self._optimizer.state.items()}, None

    def load(self, tensors: Mapping[str, Tensor], rest: Any) -> None:  # noqa: ARG002 - has none
        """See `ModelOptimizer`."""
        if tensors.keys() != self._optimizer.state.keys():
            raise CheckpointError("the checkpoint is of another optimizer", found=sorted(tensors))
        self._optimizer.load({name: each.unsqueeze(0) for name, each in tensors.items()})


class UsersOptimizer:
    """A subclass of `torch.optim.Optimizer` that a config names by `_target_`.

    Args:
        settings: the class and its arguments.
        parameters: that it updates.

    Raises:
        ConfigError: it is no optimizer, does not take its arguments, or keeps a state that
            cannot be saved.
    """

    def __init__(self, settings: OptimizerSettings, parameters: Sequence[nn.Parameter]) -> None:
        from torch.optim import Optimizer

        assert settings.target is not None
        node = optimizer_node({TARGET: settings.target, **settings.arguments})
        optimizer = build(node, params=list(parameters))
        if not isinstance(optimizer, Optimizer):
            raise ConfigError(
                f"{settings.target} is no torch.optim.Optimizer",
                remedy="Name a subclass of it by train.optimizer._target_",
            )
        self._optimizer = optimizer
        self._peaks = [group.get("lr") for group in optimizer.param_groups]
        self._target = settings.target
        self._steps = 0

    def step(self, factor: float) -> None:
        """See `ModelOptimizer`; of a class without a learning rate the factor changes nothing."""
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            if peak is not None:
                group["lr"] = peak * factor
        self._optimizer.step()
        if not self._steps:
            # Before an epoch is spent on what no checkpoint could hold.
            self.save()
        self._steps += 1

    def save(self) -> tuple[dict[str, Tensor], Any]:
        """See `ModelOptimizer`."""
        tensors: dict[str, Tensor] = {}
        try:
            rest = pack(self._optimizer.state_dict(), tensors)
        except TypeError as error:
            raise ConfigError(
                f"the state of {self._target} cannot be saved: {error}",
                remedy="Keep tensors, numbers and strings in its state",
            ) from error
        return tensors, rest

    def load(self, tensors: Mapping[str, Tensor], rest: Any) -> None:
        """See `ModelOptimizer`."""
        try:
            self._optimizer.load_state_dict(unpack(rest, tensors))
        except Exception as error:  # the user's code may raise anything
            raise CheckpointError(
                f"the checkpoint is of another optimizer than {self._target} ({error})"
            ) from error


def optimizer_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of a user's optimizer without the keys of rayml's own that its class does not take.

    A config is composed of defaults, among them those of AdamW, which mean nothing to another
    class.

    Raises:
        BuildError: the class does not import.
        ConfigError: an argument is a component of its own.
    """
    for key, value in node.items():
        if is_node(value):
            raise ConfigError(
                f"train.optimizer.{key} is a component; an optimizer's arguments are plain values",
                remedy="Make it in the constructor of your class",
            )
    taken = inspect.signature(locate(node[TARGET])).parameters
    return {key: value for key, value in node.items() if key not in _OWN or key in taken}
