"""Predicts and explains the rows of a file, in this process and without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rayml.registry.store import Registry
from rayml.stages.row_file import RowFile, Tell

if TYPE_CHECKING:
    from rayml.config.schema import Config
    from rayml.serve.answer import Answer
    from rayml.serve.explainer import Explanation

_EXPLAINED_ROWS = 100  # at a time, which bounds memory


def _silent(_: str) -> None:
    """Tell nobody."""


def served_bundle(config: Config) -> Path:
    """Folder of the bundle that an endpoint with this config would serve.

    Raises:
        RegistryError: the registry has no such version.
    """
    return Registry(Path(config.paths.registry)).resolve(config.name, config.serve.version)


def predict_file(bundle: Path, file: Path, *, tell: Tell = _silent) -> Iterator[Answer]:
    """Predict the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: CSV, Parquet, Arrow, JSON or JSON lines, see `RowFile`. Columns of the training data
            that are no features are left aside, those that the file lacks are missing values.
        tell: is told what was taken or left aside without being asked for.

    Raises:
        ConfigError: the file is absent or of another format.
        DataError: a column or a row that does not fit the signature; the message names it.
        BundleError: the bundle is torn or altered.
    """
    from rayml.serve.predictor import Predictor

    predictor = Predictor.load(bundle)
    for table in RowFile(predictor, file, tell).tables():
        yield from predictor.predict(table)


def explain_file(
    bundle: Path, file: Path, *, tolerance: float, max_steps: int, tell: Tell = _silent
) -> Iterator[Explanation]:
    """Explain the predictions for the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: as `predict_file` takes it.
        tolerance: see `Explainer`.
        max_steps: likewise.
        tell: as `predict_file` takes it.

    Raises:
        ExplainError: the model cannot be explained, or Captum is not installed; and what
            `predict_file` raises.
    """
    from rayml.serve.explainer import Explainer
    from rayml.serve.predictor import Predictor

    predictor = Predictor.load(bundle)
    explainer = Explainer(predictor, tolerance=tolerance, max_steps=max_steps)
    for table in RowFile(predictor, file, tell).tables():
        for start in range(0, table.num_rows, _EXPLAINED_ROWS):
            yield from explainer.explain(table.slice(start, _EXPLAINED_ROWS))
