"""Turns predictions into output tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rayml.errors import RequestError
from rayml.serve.predict.answer import Estimate, class_key, require_finite
from rayml.serve.predict.odd_values import WARNINGS, as_texts
from rayml.serve.tensors.tensors import Chosen, Labels, Tensor
from rayml.types import ClassLabel, TargetInfo


class OutputTensors:
    """The output tensors for a target: one for each key of an answer of `/predict`.

    A class is answered by `label` (BYTES) [n], `probability` (FP64) [n], that of the label, and
    `probabilities` (FP64) [n, classes], in the order of the target's classes; a regression by
    `value` (FP64) [n]. An ensemble adds `spread` (FP64) [n]. Only a request that names it also gets
    `warnings` (BYTES) [n]: a JSON object a row, with what is unlike training by column.

    Args:
        target: target of the signature.
        ensemble: whether several models answer.
        warnings: whether a request may ask for `warnings`.
    """

    def __init__(self, target: TargetInfo, *, ensemble: bool, warnings: bool = True) -> None:
        self._target = target
        classes = len(target.classes)
        self._labels = Labels([class_key(label) for label in target.classes])
        regression = target.task == "regression"
        self._shapes: dict[str, tuple[str, tuple[int, ...]]] = (
            {"value": ("FP64", (-1,))}
            if regression
            else {
                "label": ("BYTES", (-1,)),
                "probability": ("FP64", (-1,)),
                "probabilities": ("FP64", (-1, classes)),
            }
        )
        if ensemble:
            self._shapes["spread"] = ("FP64", (-1,))
        self.names: tuple[str, ...] = tuple(self._shapes)
        self.warns = warnings
        self.offered = (*self.names, WARNINGS) if warnings else self.names

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The columns of `probabilities`; none of a regression."""
        return self._target.classes

    def metadata(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each, as the protocol describes tensors."""
        return [
            {"name": name, "datatype": datatype, "shape": list(shape)}
            for name, (datatype, shape) in self._shapes.items()
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
        values: dict[str, Any] = {}
        predicted = estimate.prediction.numpy().astype(np.float64)
        if self._target.task == "regression":
            values["value"] = predicted
        else:
            codes = self.codes(estimate.prediction)
            values |= self._classified(codes, predicted)
        if estimate.spread is not None:
            require_finite(estimate.spread)
            values["spread"] = estimate.spread.numpy().astype(np.float64)
        rows = len(predicted)
        return [
            Tensor(name, "BYTES", (rows,), as_texts(estimate.odd, rows))
            if name == WARNINGS
            else self._tensor(name, values[name])
            for name in names
        ]

    def codes(self, prediction: torch.Tensor) -> npt.NDArray[np.int64]:
        """Codes of the classes that are answered, shape [rows]."""
        binary = self._target.task == "binary"
        codes = (prediction >= 0.5).long() if binary else prediction.argmax(dim=1)
        array: npt.NDArray[np.int64] = codes.numpy()
        return array

    def _classified(
        self, codes: npt.NDArray[np.int64], predicted: npt.NDArray[np.float64]
    ) -> dict[str, Any]:
        probabilities = predicted
        if predicted.ndim == 1:
            probabilities = np.empty((len(predicted), 2))
            np.subtract(1, predicted, out=probabilities[:, 0])
            probabilities[:, 1] = predicted
        return {
            "label": Chosen(self._labels, codes),
            "probability": probabilities.max(axis=1),
            "probabilities": probabilities,
        }

    def _tensor(self, name: str, values: Any) -> Tensor:
        datatype, shape = self._shapes[name]
        if isinstance(values, Chosen):
            return Tensor(name, datatype, (len(values.codes),), values)
        return Tensor(name, datatype, (len(values), *shape[1:]), values.reshape(-1))
