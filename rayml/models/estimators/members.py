"""Members: trained models of any family, as what measures and compares them sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.models.layers.folded import Forward, fold
from rayml.models.modules.arrays import as_tensor
from rayml.models.modules.lending import lend
from rayml.models.modules.outputs import require_outputs
from rayml.tasks.task import Task
from rayml.types import Examples, Features

_REMEMBERED = 20_000_000  # numbers at most


class Member(Protocol):
    """A trained model."""

    def outputs(self, features: Features) -> Tensor:
        """Outputs as a task decodes them, [rows, outputs] on the CPU."""

    def single(self, features: Features) -> Tensor:
        """The same of one row, as fast as an endpoint computes it."""


class ModuleMember:
    """A trained PyTorch module; it is put in evaluation mode.

    Args:
        model: with its weights.
        outputs: that it gives for a row.
        batch_size: rows of a forward pass.
    """

    def __init__(self, model: nn.Module, outputs: int, batch_size: int) -> None:
        self._model = model.eval()
        self._outputs = outputs
        self._batch_size = batch_size
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))

    @cached_property
    def _folded(self) -> Forward | None:
        return fold(self._model)

    @torch.inference_mode()
    def outputs(self, features: Features) -> Tensor:
        """See `Member`.

        Raises:
            ConfigError: the model returns something else.
        """
        parts = []
        for start in range(0, len(features), self._batch_size):
            rows = slice(start, start + self._batch_size)
            numeric, codes = (
                as_tensor(part[rows]).to(self._device)
                for part in (features.numeric, features.categorical)
            )
            found = self._model(*lend(self._model, numeric, codes))
            parts.append(require_outputs(found, (len(numeric), self._outputs)))
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def single(self, features: Features) -> Tensor:
        """See `Member`."""
        if self._folded is None:
            return self.outputs(features)
        numeric, codes = as_tensor(features.numeric), as_tensor(features.categorical)
        return self._folded(numeric.to(self._device), codes.to(self._device)).cpu()


class EstimatorMember:
    """A trained estimator.

    Args:
        estimator: with its state.
        outputs: that it gives for a row.
    """

    def __init__(self, estimator: Estimator, outputs: int) -> None:
        self._estimator = estimator
        self._outputs = outputs

    def outputs(self, features: Features) -> Tensor:
        """See `Member`.

        Raises:
            ConfigError: the estimator returns something else.
        """
        found = self._estimator.predict(locked(features))
        return checked_outputs(self._estimator, found, (len(features), self._outputs))

    def single(self, features: Features) -> Tensor:
        """See `Member`."""
        return self.outputs(features)


def checked_outputs(estimator: Estimator, outputs: object, wanted: tuple[int, int]) -> Tensor:
    """What an estimator returned, as float32 on the CPU.

    Raises:
        ConfigError: it is no array of real numbers of the shape that is wanted.
    """
    name = type(estimator).__name__
    if not isinstance(outputs, np.ndarray) or outputs.dtype.kind != "f":
        what = getattr(outputs, "dtype", type(outputs).__name__)
        raise ConfigError(
            f"{name}.predict returns {what}; a task needs a NumPy array of real numbers",
            remedy="Correct its predict(features)",
        )
    if outputs.shape != wanted:
        raise ConfigError(
            f"{name}.predict returns shape {outputs.shape}; this task needs {wanted}",
            remedy="Correct its predict(features)",
        )
    return as_tensor(np.ascontiguousarray(outputs, dtype=np.float32))


def locked(features: Features) -> Features:
    """Features that cannot be written to, since others share their memory."""
    numeric, categorical = features.numeric.view(), features.categorical.view()
    numeric.flags.writeable = categorical.flags.writeable = False
    return Features(numeric, categorical, features.odd)


@dataclass(frozen=True)
class Committee:
    """Trained models that predict together: the mean of their predictions.

    Attributes:
        members: one or several.
        votes: how many times each member counts; empty where each counts once.
        temperature: of what they predict together.
        memory: the outputs for the last rows that it was asked for, which registering a version
            asks for several times; None keeps none.
    """

    members: Sequence[Member]
    votes: Sequence[int] = ()
    temperature: float = 1.0
    memory: dict[bytes, Tensor] | None = field(default=None, compare=False, repr=False)

    def outputs(self, features: Features) -> Tensor:
        """Outputs of each vote, [votes, rows, outputs]; nobody writes to them."""
        if self.memory is None:
            return self._outputs(features)
        key = _digest(features)
        if key not in self.memory:
            outputs = self._outputs(features)
            if outputs.numel() > _REMEMBERED:
                return outputs
            self.memory.clear()
            self.memory[key] = outputs
        return self.memory[key]

    def _outputs(self, features: Features) -> Tensor:
        outputs = torch.stack([member.outputs(features) for member in self.members])
        return outputs.repeat_interleave(torch.tensor(self.votes), 0) if self.votes else outputs

    def pooled(self, task: Task, features: Features) -> Tensor:
        """Outputs whose prediction is the mean of the members' predictions, [rows, outputs].

        Those of a task that takes a temperature are divided by it.
        """
        outputs = self.outputs(features)
        if self.temperature == 1:
            return task.pool(outputs) if len(outputs) > 1 else outputs[0]
        # In float32 the mean of sure answers is 1, which no temperature moves.
        exact = outputs.double()
        pooled = task.pool(exact) if len(exact) > 1 else exact[0]
        return (pooled / self.temperature).to(outputs.dtype)

    @torch.inference_mode()
    def measure(self, task: Task, examples: Examples) -> dict[str, float]:
        """`loss` and every metric of the task."""
        outputs = self.pooled(task, examples.features)
        return task.evaluate(outputs, as_tensor(examples.target))


def _digest(features: Features) -> bytes:
    """Of the rows' values."""
    found = hashlib.blake2b(str(features.numeric.shape).encode())
    for part in (features.numeric, features.categorical):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.digest()
