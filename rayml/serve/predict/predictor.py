"""Predictions of a bundle, in this process and without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.data.fit.oddities import Odd
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BundleError
from rayml.models.layers.folded import Forward
from rayml.models.modules.invariant import InvariantForward, blocks
from rayml.registry.bundle.bundle import Bundle, load_bundle
from rayml.serve.predict.answer import Answers, Estimate, of_members, scalable
from rayml.serve.predict.members import open_members
from rayml.serve.predict.regions import RegionMaker
from rayml.tasks.table import build_task
from rayml.tasks.task import Answer, Task
from rayml.types import Features, FeatureShape

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row

Levelled = tuple["Row", float]
"""A parsed row, and the probability with which its region holds the truth."""

# Where the table of the rows begins to pay (30 numeric columns): one row takes 13 µs without it and
# 100 µs with it, 64 rows 128 and 163 µs, 256 rows 480 and 370 µs.
_FEW_ROWS = 64


class Predictor:
    """A bundle's preprocessor and model, ready to predict; safe to use from several threads.

    The members of an ensemble are run together, and their mean, by votes, is the prediction.

    Args:
        bundle: a verified bundle.
        device: where the model runs.
        warn: whether estimates hold the values that are unlike those of training.
        batch_invariant: whether a row's prediction has the same bits in every batch; on a CPU the
            number of threads of the process must not change. See `rayml.models.modules.invariant`.

    Attributes:
        watcher: is called with the predictions of each batch; None where nothing watches.
        bundle: the bundle.
        signature: signature of the bundle.
        preprocessor: preprocessor of the bundle.
        task: what the model's outputs mean.
        temperature: of what is predicted, see `rayml.tasks.temperature`.
        device: where the model runs.
        members: the trained models of the bundle.
        slow_features: whether preparing a row may take milliseconds, as an encoder of texts does.
        regions: makes the regions that hold the truth with a given probability.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        warn: bool = True,
        batch_invariant: bool = False,
    ) -> None:
        self.watcher: Callable[[torch.Tensor], None] | None = None
        self.bundle = bundle
        self.signature = bundle.signature
        self._struct = self.signature.struct()
        self.device = torch.device(device)
        fitted = bundle.preprocessor()
        self.preprocessor: Preprocessor = fitted.watching() if warn else fitted
        self.slow_features = fitted.load_encoders()
        self.members = open_members(bundle, self.preprocessor, self.device)
        self._forward: Forward = self.members.forward
        self._invariant = batch_invariant
        if batch_invariant and not self.members.batch_invariant:
            self._forward = InvariantForward(
                self._forward, self.shape, self.device, rows_apart=self.members.rows_apart
            )
        self.temperature = bundle.info.temperature
        self.task: Task = _task(bundle)
        self.regions = RegionMaker(bundle, self.task, self.preprocessor)
        self._answers = Answers(self.task, groups.values if (groups := self.regions.groups) else ())

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str = "cpu",
        warn: bool = True,
        batch_invariant: bool = False,
        trust: Trust = ONLY_OWN,
    ) -> Predictor:
        """Verify and open the bundle in a folder.

        Args:
            folder: folder of the bundle.
            device: where the model runs.
            warn: see the class.
            batch_invariant: see the class.
            trust: whose code the bundle may name, and whose keys must have signed it.

        Raises:
            BundleError: the bundle is torn, altered, too new, not signed as it must be, names a
                component that is not trusted, or its weights do not fit its model.
        """
        bundle = load_bundle(folder, trust)
        return cls(bundle, device=device, warn=warn, batch_invariant=batch_invariant)

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Make a table of natural types out of parsed rows; absent columns are null."""
        return pa.Table.from_struct_array(pa.array(rows, type=self._struct))

    def features(self, table: pa.Table) -> Features:
        """Prepare a raw table by the same transform that prepared the training rows."""
        return self.preprocessor.transform_batch(table)

    def outputs(self, features: Features) -> torch.Tensor:
        """Predict from prepared features.

        Returns:
            As `Task.predict` gives them, on the CPU. An ensemble gives the mean over its members.
        """
        return self.estimate(features).prediction

    def estimate(self, features: Features) -> Estimate:
        """Predict from prepared features; the estimate of an ensemble has a spread."""
        with torch.inference_mode():
            numeric = torch.from_numpy(features.numeric).to(self.device)
            categorical = torch.from_numpy(features.categorical).to(self.device)
            outputs = self._forward(numeric, categorical)
            estimate = self._decoded_alike(outputs) if self._invariant else self._decoded(outputs)
        if self.watcher is not None:
            self.watcher(estimate.prediction)
        return estimate

    def predict(self, table: pa.Table, level: float | None = None) -> list[Answer]:
        """Predict the rows of a raw table, one answer a row.

        Args:
            table: raw rows.
            level: probability with which regions hold the truth; None gives none.
        """
        features = self.features(table)
        odd = self.odd_of_table(table) if features.odd else None
        estimate = self.with_regions(self.estimate(features), features, level)
        return self.answers(estimate.with_odd(odd))

    def with_regions(
        self, estimate: Estimate, features: Features, level: float | Sequence[float] | None
    ) -> Estimate:
        """An estimate with regions that hold the truth.

        Args:
            estimate: of the features.
            features: of the rows.
            level: probability, for all rows or for each; None gives no regions.
        """
        if level is None:
            return estimate
        levels = np.broadcast_to(np.array(level, np.float64), len(features))
        return replace(estimate, region=self.regions.of(estimate, features, levels))

    def odd_of_table(self, table: pa.Table) -> dict[int, Odd] | None:
        """Odd values of a raw table by row, see `Oddities`; None where they are not looked for."""
        oddities = self.preprocessor.oddities
        return None if oddities is None else oddities.of_table(table)

    def answers(self, estimate: Estimate) -> list[Answer]:
        """Make one answer a row.

        Raises:
            ServeError: a prediction is not finite.
        """
        return self._answers(estimate)

    def predict_rows(
        self, rows: Sequence[Row], levels: Sequence[float] | None = None
    ) -> list[Answer]:
        """Predict parsed rows, one answer a row, with regions of the levels where there are."""
        features = self.row_features(rows)
        estimate = self.with_regions(self.estimate(features), features, levels)
        oddities = self.preprocessor.oddities
        if features.odd and oddities is not None:
            each = enumerate(map(oddities.of_row, rows))
            estimate = estimate.with_odd({row: odd for row, odd in each if odd})
        return self.answers(estimate)

    def predict_levelled(self, rows: Sequence[Levelled]) -> list[Answer]:
        """Predict parsed rows, each with the level of its region."""
        return self.predict_rows([row for row, _ in rows], [level for _, level in rows])

    def row_features(self, rows: Sequence[Row]) -> Features:
        """Prepare parsed rows in the faster of two ways; both give the same bits."""
        if len(rows) > _FEW_ROWS:
            return self.features(self.table(rows))
        return self.preprocessor.transform_rows(rows)

    @property
    def shape(self) -> FeatureShape:
        """Shape of the prepared features."""
        return self.preprocessor.shape

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw column of each prepared feature, numeric features first, then codes."""
        return tuple(feature.column for feature in self.preprocessor.features)

    def _decoded(self, outputs: torch.Tensor) -> Estimate:
        """The estimate from the model's outputs, on the CPU."""
        temperature = self.temperature
        predictions = self.task.predict(scalable(outputs, temperature)).cpu()
        if self.members.stacked:
            return of_members(predictions, self.task, self.members.counted, temperature)
        return Estimate(self.task.tempered(predictions, temperature))

    def _decoded_alike(self, outputs: torch.Tensor) -> Estimate:
        """The estimate, decoded in blocks of one length, so that its bits do not vary."""
        parts = [self._decoded(block) for block in blocks(outputs)]
        spreads = [part.spread for part in parts if part.spread is not None]
        estimate = Estimate(
            torch.cat([part.prediction for part in parts]), torch.cat(spreads) if spreads else None
        )
        return estimate.rows(0, outputs.shape[-2])


def _task(bundle: Bundle) -> Task:
    """The task of a bundle, with its decision rule.

    Raises:
        BundleError: it has a temperature or a rule that its task does not take.
    """
    target, rule = bundle.signature.target, bundle.info.decision_rule
    task = build_task(target)
    if rule is not None and not task.takes_rule(rule):
        raise BundleError(
            f"bundle.json has a decision rule that the task {target.task!r} of {target.name!r} does"
            " not take",
            found=str(bundle.folder),
            remedy="Register the model again",
        )
    if bundle.info.temperature != 1 and not task.takes_temperature:
        raise BundleError(
            f"bundle.json has a temperature, and predictions of the task {task.name!r} take none",
            found=bundle.info.temperature,
            remedy="Register the model again",
        )
    return task.deciding(rule)
