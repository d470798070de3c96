"""A model that takes and gives whole columns, whichever transport they come by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from rayml.data.fit.oddities import Odd
from rayml.serve.model.batching import BATCH_SIZES, MicroBatcher, loop_rows
from rayml.serve.model.histogram import Histogram
from rayml.serve.predict.answer import Estimate
from rayml.serve.predict.odd_values import OddValues
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.arrow import ArrowParser
from rayml.serve.tensors.input_tensors import InputTensors
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.serve.tensors.tensor_features import TensorFeatures
from rayml.serve.tensors.tensors import Tensor
from rayml.settings.serve import ServeSettings
from rayml.tasks.task import Answer, Task
from rayml.types import Features

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row

LOOP_BYTES = 16 * 2**10
"""Requests of more bytes, which have many rows, are read, predicted and answered in a thread."""

LOOP_BINARY_BYTES = 256 * 2**10
"""The same of requests with binary tensors, which cost many times less to read."""

_MANY_ROWS = 1024

Result = TypeVar("Result")


class Shadowing(Protocol):
    """Takes what was answered, to predict it again with a shadow; returns at once."""

    def offer(self, rows: list[Row], answers: Sequence[Answer]) -> None:
        """Take rows and the answers to them."""
        ...

    def offer_table(
        self, table: Callable[[], pa.Table], estimate: Estimate, answered_by: Task
    ) -> None:
        """Take a raw table, which `table` makes when it is called, its estimate and its task."""
        ...


class TensorModel:
    """Predicts from input tensors.

    Small requests share a forward pass on the event loop, as rows do. A large one is a batch by
    itself: all of its work is done in a thread, by way of `off_loop` and `infer_now`.

    Attributes:
        shadow: takes what was answered; None without one.

    Args:
        predictor: of the bundle.
        settings: limits and batching.
        example: a row of typical values.
        odd_values: counts the odd values of requests.
        sizes: counts the forward passes by their rows.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        settings: ServeSettings,
        example: Row,
        odd_values: OddValues,
        sizes: Histogram | None = None,
    ) -> None:
        info, signature = predictor.bundle.info, predictor.signature
        self.inputs = InputTensors(signature, max_rows=settings.max_rows)
        self.arrow = ArrowParser(
            signature, max_rows=settings.max_rows, max_bytes=settings.max_body_bytes
        )
        self.outputs = OutputTensors(
            signature.target,
            ensemble=info.ensemble is not None,
            warnings=settings.unknown != "ignore",
            regions=predictor.regions.groups,
            rule=info.decision_rule,
        )
        self._odd_values = odd_values
        self.shadow: Shadowing | None = None
        self._predictor = predictor
        self._sizes = sizes or Histogram(BATCH_SIZES)
        self._off_loop = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tensors")
        self._features = TensorFeatures(self.inputs, signature, predictor.preprocessor)
        self._batcher: MicroBatcher[Features, Estimate] = MicroBatcher(
            self._run,
            max_requests=settings.max_batch_size,
            wait_s=settings.batch_wait_s,
            max_loop_items=self._loop_rows(predictor.table([example])),
            size=len,
            sizes=self._sizes,
        )

    @property
    def waiting(self) -> int:
        """Requests that wait for a forward pass or are in one."""
        return self._batcher.waiting + self._off_loop

    async def infer(
        self, tensors: Sequence[Tensor], outputs: Sequence[str], level: float | None = None
    ) -> list[Tensor]:
        """Predict, in one forward pass with other requests.

        Args:
            tensors: the inputs.
            outputs: names of the outputs to give; empty for all.
            level: probability with which regions hold the truth; None gives none.

        Raises:
            RequestError: see `InputTensors.table` and `OutputTensors.requested`; 422 for odd values
                where they are refused, and for a level that the bundle does not support.
        """
        if self._predictor.slow_features:
            return await self.off_loop(lambda: self.infer_now(tensors, outputs, level))
        names = self._requested(outputs, level)
        features = self._features(tensors)
        odd = self._odd(features, lambda: self.inputs.table(tensors))
        (estimate,) = await self._batcher.submit([features])
        self._offer(lambda: self.inputs.table(tensors), estimate)
        estimate = self._predictor.with_regions(estimate, features, level)
        return self.outputs.tensors(estimate.with_odd(odd), names)

    def infer_now(
        self, tensors: Sequence[Tensor], outputs: Sequence[str], level: float | None = None
    ) -> list[Tensor]:
        """Predict in this thread; else as `infer`."""
        names = self._requested(outputs, level)
        features = self._features(tensors)
        odd = self._odd(features, lambda: self.inputs.table(tensors))
        estimate = self._estimate(features)
        self._offer(lambda: self.inputs.table(tensors), estimate)
        estimate = self._predictor.with_regions(estimate, features, level)
        return self.outputs.tensors(estimate.with_odd(odd), names)

    def estimate_now(self, table: pa.Table, level: float | None = None) -> Estimate:
        """Predict from a raw table in this thread.

        Args:
            table: raw rows.
            level: see `infer`; the bundle supports it.

        Raises:
            RequestError: 422 for odd values where they are refused.
        """
        features = self._predictor.features(table)
        odd = self._odd(features, lambda: table)
        estimate = self._estimate(features)
        self._offer(lambda: table, estimate)
        return self._predictor.with_regions(estimate, features, level).with_odd(odd)

    async def off_loop(self, work: Callable[[], Result]) -> Result:
        """Do the whole work of a large request in a thread."""
        self._off_loop += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._off_loop -= 1

    def close(self) -> None:
        """End the threads after their queued work."""
        self._batcher.close()
        self._thread.shutdown(wait=True)

    def _offer(self, table: Callable[[], pa.Table], estimate: Estimate) -> None:
        """Give what is answered to the shadow, if there is one."""
        if (shadow := self.shadow) is not None:
            shadow.offer_table(table, estimate, self._predictor.task)

    def _requested(self, outputs: Sequence[str], level: float | None) -> tuple[str, ...]:
        if level is not None:
            self._predictor.regions.require(level)
        return self.outputs.requested(outputs, regions=level is not None)

    def _odd(self, features: Features, table: Callable[[], pa.Table]) -> dict[int, Odd] | None:
        """Count the odd values of a request, and give them by row."""
        odd = self._predictor.odd_of_table(table()) if features.odd else None
        self._odd_values.note(odd or {})
        return odd

    def _estimate(self, features: Features) -> Estimate:
        self._sizes.observe(len(features))
        return self._predictor.estimate(features)

    def _loop_rows(self, row: pa.Table) -> int:
        """How many rows may run on the event loop: measured on many together if those may.

        Their table is prepared each time, which takes longer than to prepare tensors.
        """
        many = row.take([0] * _MANY_ROWS)
        fits = _MANY_ROWS * loop_rows(self._run_tables, many, rows=1)
        return fits or loop_rows(self._run_tables, row)

    def _run_tables(self, tables: Sequence[pa.Table]) -> object:
        return self._run([self._predictor.features(pa.concat_tables(tables))])

    def _run(self, requests: Sequence[Features]) -> list[Estimate]:
        """One estimate a request."""
        if len(requests) == 1:
            return [self._predictor.estimate(requests[0])]
        numeric = np.concatenate([each.numeric for each in requests])
        categorical = np.concatenate([each.categorical for each in requests])
        together = self._predictor.estimate(Features(numeric, categorical))
        ends = accumulate(map(len, requests))
        return [
            together.rows(end - len(each), end) for each, end in zip(requests, ends, strict=True)
        ]
