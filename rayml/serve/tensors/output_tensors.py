"""Turns predictions into output tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rayml.errors import RequestError
from rayml.serve.predict.answer import Estimate, require_finite
from rayml.serve.predict.odd_values import WARNINGS, as_texts
from rayml.serve.tensors.tensors import Chosen, Labels, Tensor
from rayml.tasks.class_task import class_key
from rayml.tasks.table import build_task
from rayml.tasks.task import Output
from rayml.types import ClassLabel, TargetInfo


class OutputTensors:
    """The output tensors for a target: one for each key of an answer of `/predict`.

    The task gives them, see `Task.output_tensors`. An ensemble adds `spread` (FP64) [n]. Only a
    request that names it also gets `warnings` (BYTES) [n]: a JSON object a row, with what is unlike
    training by column.

    Args:
        target: target of the signature.
        ensemble: whether several models answer.
        warnings: whether a request may ask for `warnings`.
    """

    def __init__(self, target: TargetInfo, *, ensemble: bool, warnings: bool = True) -> None:
        self._task = build_task(target)
        self._labels = Labels([class_key(label) for label in target.classes])
        self._outputs = self._task.output_tensors()
        if ensemble:
            self._outputs["spread"] = Output("FP64")
        self.names: tuple[str, ...] = tuple(self._outputs)
        self.warns = warnings
        self.offered = (*self.names, WARNINGS) if warnings else self.names

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """Labels in the order of their codes; none where the target is a number."""
        return self._task.info.classes

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of an output; empty for one of a single dimension."""
        return self._outputs[name].names

    def metadata(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each, as the protocol describes tensors."""
        return [
            {"name": name, "datatype": output.datatype, "shape": list(output.shape)}
            for name, output in self._outputs.items()
        ]

    def requested(self, names: Sequence[str]) -> tuple[str, ...]:
        """The outputs that a request asks for; all but `warnings` if it names none.

        Raises:
            RequestError: 400 if one is unknown or named twice.
        """
        unknown = [name for name in names if name not in self.offered]
        if unknown or len(set(names)) != len(names):
            raise RequestError(
                "unknown output" if unknown else "the request names an output twice",
                status=400,
                found=unknown[0] if unknown else list(names[:20]),
                remedy=f"The outputs are: {', '.join(self.offered)}",
            )
        return tuple(names) or self.names

    def tensors(self, estimate: Estimate, names: Sequence[str]) -> list[Tensor]:
        """Make the named outputs, in their order.

        Raises:
            ServeError: a prediction is not finite.
        """
        require_finite(estimate.prediction)
        values = self._task.output_values(estimate.prediction)
        if estimate.spread is not None:
            require_finite(estimate.spread)
            values["spread"] = estimate.spread.numpy().astype(np.float64)
        rows = len(estimate.prediction)
        return [
            Tensor(name, "BYTES", (rows,), as_texts(estimate.odd, rows))
            if name == WARNINGS
            else self._tensor(name, values[name])
            for name in names
        ]

    def _tensor(self, name: str, values: Any) -> Tensor:
        output = self._outputs[name]
        if output.coded:
            return Tensor(name, output.datatype, (len(values),), Chosen(self._labels, values))
        shape = (len(values), *output.shape[1:])
        return Tensor(name, output.datatype, shape, values.reshape(-1))
