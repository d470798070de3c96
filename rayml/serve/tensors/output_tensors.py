"""Turns predictions into output tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rayml.errors import RequestError
from rayml.serve.predict.answer import GROUP, Estimate, Region, RegionGroups, require_finite
from rayml.serve.predict.odd_values import WARNINGS, as_texts
from rayml.serve.tensors.tensors import Chosen, Labels, Tensor
from rayml.tasks.class_task import class_key
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.table import build_task
from rayml.tasks.task import Output, Task
from rayml.types import ClassLabel, TargetInfo


class OutputTensors:
    """The output tensors for a target: one for each key of an answer of `/predict`.

    The task gives them, see `Task.output_tensors`. An ensemble adds `spread` (FP64) [n]. Only a
    request that names it also gets `warnings` (BYTES) [n]: a JSON object a row, with what is unlike
    training by column. A request with the parameter `interval` also gets regions: `interval` (FP64)
    [n, 2], or `set` (BOOL) [n, classes], and where rows are grouped `group` (BYTES) [n], the group
    whose rows calibrated the region, empty for all rows.

    Args:
        target: target of the signature.
        ensemble: whether several models answer.
        warnings: whether a request may ask for `warnings`.
        regions: how rows are grouped for regions; None where the bundle gives none.
        rule: by which a class is answered; None answers the most probable one.
    """

    def __init__(
        self,
        target: TargetInfo,
        *,
        ensemble: bool,
        warnings: bool = True,
        regions: RegionGroups | None = None,
        rule: DecisionRule | None = None,
    ) -> None:
        self._task = build_task(target).deciding(rule)
        self._labels = Labels([class_key(label) for label in target.classes])
        self._outputs = self._task.output_tensors()
        if ensemble:
            self._outputs["spread"] = Output("FP64")
        self.names: tuple[str, ...] = tuple(self._outputs)
        self.warns = warnings
        self._regions = {} if regions is None else _region_outputs(self._task, regions)
        self._groups = Labels([*map(class_key, regions.values if regions else ()), ""])
        self.regions: tuple[str, ...] = tuple(self._regions)
        self.offered = (*self.names, *self.regions, *([WARNINGS] if warnings else []))

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """Labels in the order of their codes; none where the target is a number."""
        return self._task.info.classes

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of an output; empty for one of a single dimension."""
        return (self._outputs | self._regions)[name].names

    def metadata(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each, as the protocol describes tensors."""
        return [_described(name, output) for name, output in self._outputs.items()]

    def region_metadata(self) -> list[dict[str, Any]]:
        """The same of those that only a request with the parameter `interval` gets."""
        return [_described(name, output) for name, output in self._regions.items()]

    def requested(self, names: Sequence[str], *, regions: bool = False) -> tuple[str, ...]:
        """The outputs that a request asks for; all but `warnings` if it names none.

        Args:
            names: of the outputs; none for all.
            regions: whether it has the parameter that asks for regions.

        Raises:
            RequestError: 400 if one is unknown or named twice, or is of regions and those are not
                asked for.
        """
        unknown = [name for name in names if name not in self.offered]
        if unknown or len(set(names)) != len(names):
            raise RequestError(
                "unknown output" if unknown else "the request names an output twice",
                status=400,
                found=unknown[0] if unknown else list(names[:20]),
                remedy=f"The outputs are: {', '.join(self.offered)}",
            )
        if not regions and (without := set(self.regions) & set(names)):
            raise RequestError(
                f"the output {min(without)!r} is asked for, and the request has no parameter"
                " interval",
                status=400,
                remedy="Add the probability with which a region holds the truth:"
                ' "parameters": {"interval": 0.9}',
            )
        return tuple(names) or (*self.names, *(self.regions if regions else ()))

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
            else self._of_region(name, estimate.region)
            if name in self._regions
            else self._tensor(name, values[name])
            for name in names
        ]

    def _of_region(self, name: str, region: Region | None) -> Tensor:
        assert region is not None
        rows, output = len(region.values), self._regions[name]
        if name == GROUP:
            assert region.groups is not None
            last = len(self._groups.strings) - 1
            codes = np.where(region.groups < 0, last, region.groups)
            return Tensor(name, output.datatype, (rows,), Chosen(self._groups, codes))
        shape = (rows, *output.shape[1:])
        return Tensor(name, output.datatype, shape, region.values.reshape(-1))

    def _tensor(self, name: str, values: Any) -> Tensor:
        output = self._outputs[name]
        if output.coded:
            return Tensor(name, output.datatype, (len(values),), Chosen(self._labels, values))
        shape = (len(values), *output.shape[1:])
        return Tensor(name, output.datatype, shape, values.reshape(-1))


def _region_outputs(task: Task, regions: RegionGroups) -> dict[str, Output]:
    names = task.region_columns
    datatype = "BOOL" if task.has_classes else "FP64"
    group = {GROUP: Output("BYTES")} if regions.grouped else {}
    return {task.region: Output(datatype, (-1, len(names)), names), **group}


def _described(name: str, output: Output) -> dict[str, Any]:
    return {"name": name, "datatype": output.datatype, "shape": list(output.shape)}
