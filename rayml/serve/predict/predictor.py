"""Predictions of a bundle, in this process and without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from torch import nn

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.config.components.trusted import build_trusted
from rayml.data.fit.oddities import Odd
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BuildError, BundleError
from rayml.models.ensemble import Ensemble
from rayml.models.layers.folded import Forward, fold
from rayml.models.modules.invariant import InvariantForward, blocks
from rayml.models.modules.lazy import materialise
from rayml.models.modules.lending import lend
from rayml.models.modules.outline import Room, TooManyError, bounded, outline
from rayml.registry.bundle.bundle import Bundle, load_bundle
from rayml.serve.predict.answer import Answer, Answers, Estimate, of_members
from rayml.tasks.task import Task, build_task
from rayml.types import Features, FeatureShape

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row


# Where the table of the rows begins to pay (30 numeric columns): one row takes 13 µs without it and
# 100 µs with it, 64 rows 128 and 163 µs, 256 rows 480 and 370 µs.
_FEW_ROWS = 64


class Predictor:
    """A bundle's preprocessor and model, ready to predict; safe to use from several threads.

    The members of an ensemble are run together, and their mean is the prediction.

    Args:
        bundle: a verified bundle.
        device: where the model runs.
        warn: whether estimates tell the values that are unlike those of training.
        batch_invariant: whether a row's prediction is the same to the bit whatever its batch; on a
            CPU the process has to run with one number of threads. See
            `rayml.models.modules.invariant`.

    Attributes:
        watcher: is given what `outputs` gives, batch by batch; None where nobody wants to know.
        bundle: the same.
        signature: of the bundle.
        preprocessor: of the bundle.
        task: what the model's outputs mean.
        device: where the model runs.
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
        self._model = _model(bundle, self.preprocessor, self.device)
        self._forward = _forward(self._model)
        self._invariant = batch_invariant
        if batch_invariant:
            self._forward = self._made_invariant(self._forward)
        self.task: Task = build_task(self.signature.target)
        self._answers = Answers(self.signature.target)

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
            folder: of the bundle.
            device: where the model runs.
            warn: see the class.
            batch_invariant: likewise.
            trust: whose code the bundle may name, and whose signature it needs.

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
            Of a binary task P(positive) [n], of a multiclass one probabilities [n, classes], of a
            regression values in the target's own units [n]; on the CPU. An ensemble gives the
            mean over its members.
        """
        return self.estimate(features).prediction

    def estimate(self, features: Features) -> Estimate:
        """Predict from prepared features; an ensemble tells its spread too."""
        with torch.inference_mode():
            numeric = torch.from_numpy(features.numeric).to(self.device)
            categorical = torch.from_numpy(features.categorical).to(self.device)
            outputs = self._forward(numeric, categorical)
            estimate = self._decoded_alike(outputs) if self._invariant else self._decoded(outputs)
        if self.watcher is not None:
            self.watcher(estimate.prediction)
        return estimate

    def predict(self, table: pa.Table) -> list[Answer]:
        """Predict the rows of a raw table, one answer a row."""
        features = self.features(table)
        odd = self.odd_of_table(table) if features.odd else None
        return self.answers(self.estimate(features).with_odd(odd))

    def odd_of_table(self, table: pa.Table) -> dict[int, Odd] | None:
        """The odd values of a raw table by row, see `Oddities`; None where nobody looks."""
        oddities = self.preprocessor.oddities
        return None if oddities is None else oddities.of_table(table)

    def answers(self, estimate: Estimate) -> list[Answer]:
        """Make one answer a row.

        Raises:
            ServeError: a prediction is not finite.
        """
        return self._answers(estimate)

    def predict_rows(self, rows: Sequence[Row]) -> list[Answer]:
        """Predict parsed rows, one answer a row."""
        features = self.row_features(rows)
        estimate = self.estimate(features)
        oddities = self.preprocessor.oddities
        if features.odd and oddities is not None:
            each = enumerate(map(oddities.of_row, rows))
            estimate = estimate.with_odd({row: odd for row, odd in each if odd})
        return self.answers(estimate)

    def row_features(self, rows: Sequence[Row]) -> Features:
        """Prepare parsed rows, whichever way is fast; the features are the same to the bit."""
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

    def modules(self) -> list[nn.Module]:
        """Make the model anew, of an ensemble its members, for those who put hooks on modules.

        They are in evaluation mode, without gradients of their parameters, and share nothing with
        the model that predicts.
        """
        if isinstance(self._model, Ensemble):
            return self._model.apart()
        module = _make(self.bundle, self.preprocessor).to(self.device)
        module.load_state_dict(self._model.state_dict())
        return [module.eval().requires_grad_(False)]

    def _decoded(self, outputs: torch.Tensor) -> Estimate:
        """What the model's outputs say, on the CPU."""
        predictions = self.task.predict(outputs).cpu()
        if isinstance(self._model, Ensemble):
            return of_members(predictions, self.signature.target.task)
        return Estimate(predictions)

    def _decoded_alike(self, outputs: torch.Tensor) -> Estimate:
        """The same, of blocks of one length."""
        parts = [self._decoded(block) for block in blocks(outputs)]
        spreads = [part.spread for part in parts if part.spread is not None]
        estimate = Estimate(
            torch.cat([part.prediction for part in parts]), torch.cat(spreads) if spreads else None
        )
        return estimate.rows(0, outputs.shape[-2])

    def _made_invariant(self, forward: Forward) -> Forward:
        # Of an ensemble that runs as one the members themselves are not at hand.
        own = type(_make(self.bundle, self.preprocessor)).__module__
        apart = own.startswith("rayml.models.")
        return InvariantForward(forward, self.shape, self.device, rows_apart=apart)


def _forward(model: nn.Module | Ensemble) -> Forward:
    """What predicts, and leaves what it is given as it is."""
    if isinstance(model, Ensemble):
        return model
    return fold(model) or (lambda *inputs: model(*lend(model, *inputs)))


def _model(
    bundle: Bundle, preprocessor: Preprocessor, device: torch.device
) -> nn.Module | Ensemble:
    room = _require_shapes(bundle, preprocessor)

    def make() -> nn.Module:
        with bounded(room):
            return _make(bundle, preprocessor)

    weights = {name: each.to(device) for name, each in bundle.weights().items()}
    try:
        if bundle.info.ensemble is not None:
            return Ensemble(make, weights, _probe(preprocessor.shape, device))
        model = make().to(device)
        model.load_state_dict(weights)
    except (RuntimeError, TooManyError) as error:
        raise _misfit(bundle, str(error)) from error
    return model.eval().requires_grad_(False)


def _make(bundle: Bundle, preprocessor: Preprocessor) -> nn.Module:
    """The model's module with whatever weights."""
    outputs = bundle.signature.target.outputs
    node, trust = bundle.info.model, bundle.trust
    try:
        model = build_trusted(node, "model", trust, shape=preprocessor.shape, outputs=outputs)
    except BuildError as error:
        if isinstance(error.__cause__, TooManyError):
            raise error.__cause__ from error
        raise BundleError(f"bundle.json of {bundle.folder}: {error}") from error
    if not isinstance(model, nn.Module):
        raise BundleError(f"bundle.json of {bundle.folder}: {node.target} makes no torch.nn.Module")
    materialise(model, preprocessor.shape)
    return model


def _require_shapes(bundle: Bundle, preprocessor: Preprocessor) -> Room:
    """Go on only if the weights are of the model's own shapes, before either takes memory.

    Returns:
        The room that the model may take.

    Raises:
        BundleError: they are not, or the model may not be built.
    """
    declared = bundle.shapes()
    room = Room.of(declared)
    try:
        own = outline(lambda: _make(bundle, preprocessor), room)
    except TooManyError as error:
        raise _misfit(bundle, str(error)) from error
    if own is None or own == declared:
        return room
    names = [name for name in {**own, **declared} if own.get(name) != declared.get(name)]
    told = "; ".join(
        f"{name[:100]}: the file has {declared.get(name)}, the model {own.get(name)}"
        for name in names[:3]
    )
    raise _misfit(bundle, f"{told}{f', and {len(names) - 3} more' if len(names) > 3 else ''}")


def _misfit(bundle: Bundle, why: str) -> BundleError:
    return BundleError(
        f"weights.safetensors does not fit the model of bundle.json ({why})",
        found=str(bundle.folder),
        remedy="Install the rayml, and the package of the model, that its lineage names",
    )


def _probe(shape: FeatureShape, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A few rows that a model of this shape takes."""
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(8, shape.numeric, generator=generator)
    categorical = [torch.randint(n, (8,), generator=generator) for n in shape.cardinalities]
    codes = torch.stack(categorical, 1) if categorical else torch.zeros(8, 0, dtype=torch.int64)
    return numeric.to(device), codes.to(device)
