"""Predicts and explains the rows of a file, in this process and without a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.errors import DataError
from rayml.registry.store import Registry
from rayml.serve.predict.odd_values import described
from rayml.settings.serve import Unknown
from rayml.stages.rows.row_file import Note, RowFile

if TYPE_CHECKING:
    from rayml.config.schema import Config
    from rayml.serve.predict.explainer import Explanation
    from rayml.serve.predict.predictor import Predictor
    from rayml.tasks.task import Answer

_EXPLAINED_ROWS = 100  # at a time, which bounds memory


def _silent(_: str) -> None:
    """Drop a note."""


def served_bundle(config: Config) -> Path:
    """Folder of the bundle that an endpoint with this config would serve.

    Raises:
        RegistryError: the registry has no such version.
    """
    return Registry(Path(config.paths.registry)).resolve(config.name, config.serve.version)


def predict_file(
    bundle: Path,
    file: Path,
    *,
    batch_invariant: bool = False,
    unknown: Unknown = "warn",
    interval: float | None = None,
    note: Note = _silent,
    trust: Trust = ONLY_OWN,
) -> Iterator[Answer]:
    """Predict the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: CSV, Parquet, Arrow, JSON or JSON lines, see `RowFile`. Columns of the training data
            that are not features are ignored; features that the file lacks are missing values.
        batch_invariant: see `Predictor`; this process then computes with one thread.
        unknown: as for an endpoint, see `ServeSettings`.
        interval: probability with which regions hold the truth; None gives none.
        note: called with a line for each assumption about the file, and for ignored columns.
        trust: whose code the bundle may name, and whose signature it needs.

    Raises:
        ConfigError: the file is absent or of another format.
        DataError: a column or a row does not fit the signature, or has values that are refused;
            the message names it.
        BundleError: the bundle is torn or altered.
        RequestError: the bundle does not support the interval.
    """
    from rayml.serve.predict.predictor import Predictor

    if batch_invariant:
        import torch

        torch.set_num_threads(1)
    warn = unknown != "ignore"
    predictor = Predictor.load(bundle, warn=warn, batch_invariant=batch_invariant, trust=trust)
    if interval is not None:
        predictor.regions.require(interval)
    before = 0
    for table in RowFile(predictor, file, note).tables():
        answers = predictor.predict(table, interval)
        if unknown == "refuse":
            _refuse(predictor, file, answers, before)
        yield from answers
        before += table.num_rows


def explain_file(
    bundle: Path,
    file: Path,
    *,
    tolerance: float,
    max_steps: int,
    unknown: Unknown = "warn",
    note: Note = _silent,
    trust: Trust = ONLY_OWN,
) -> Iterator[Explanation]:
    """Explain the predictions for the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: see `predict_file`.
        tolerance: see `Explainer`.
        max_steps: see `Explainer`.
        unknown: see `predict_file`.
        note: see `predict_file`.
        trust: see `predict_file`.

    Raises:
        ExplainError: the model cannot be explained, or Captum is not installed; and what
            `predict_file` raises.
    """
    from rayml.serve.predict.explainer import Explainer
    from rayml.serve.predict.predictor import Predictor

    predictor = Predictor.load(bundle, warn=unknown != "ignore", trust=trust)
    explainer = Explainer(predictor, tolerance=tolerance, max_steps=max_steps)
    before = 0
    for table in RowFile(predictor, file, note).tables():
        for start in range(0, table.num_rows, _EXPLAINED_ROWS):
            found = explainer.explain(table.slice(start, _EXPLAINED_ROWS))
            if unknown == "refuse":
                _refuse(predictor, file, found, before + start)
            yield from found
        before += table.num_rows


def _refuse(
    predictor: Predictor, file: Path, answers: Sequence[Mapping[str, Any]], before: int
) -> None:
    """Refuse the first of the answers that warns of a value unlike those of training."""
    for index, answer in enumerate(answers):
        for name, kind in answer.get("warnings", {}).items():
            column = next(each for each in predictor.signature.inputs if each.name == name)
            raise DataError(
                f"{file.name}, row {before + index + 1}, column {name!r}:"
                f" {described(kind, column)}",
                remedy="Leave serve.unknown=refuse out to predict it all the same",
            )
