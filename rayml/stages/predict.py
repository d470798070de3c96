"""Predicts and explains the rows of a file, in this process and without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayml.data import csv_reader
from rayml.data.dialect import CsvSettings
from rayml.data.kinds import ARROW_TYPES, EXPECTED, parse
from rayml.data.origin import LINE, MALFORMED
from rayml.errors import ConfigError, DataError
from rayml.registry.signature import Signature
from rayml.registry.store import Registry

if TYPE_CHECKING:
    from rayml.config.schema import Config
    from rayml.serve.answer import Answer
    from rayml.serve.explainer import Explanation
    from rayml.serve.predictor import Predictor

_MAX_JSON_ROWS = 1_000_000
_EXPLAINED_ROWS = 100  # at a time, which bounds memory


def served_bundle(config: Config) -> Path:
    """Folder of the bundle that an endpoint with this config would serve.

    Raises:
        RegistryError: the registry has no such version.
    """
    return Registry(Path(config.paths.registry)).resolve(config.name, config.serve.version)


def predict_file(bundle: Path, file: Path) -> Iterator[Answer]:
    """Predict the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: CSV with a header, Parquet, or JSON as `/predict` takes it. Columns that the
            model does not know are left aside, those that the file lacks are missing values.

    Raises:
        ConfigError: the file is absent or of another format.
        DataError: a row that does not fit the signature; the message names line and column.
        RequestError: likewise for JSON.
        BundleError: the bundle is torn or altered.
    """
    from rayml.serve.predictor import Predictor

    predictor = Predictor.load(bundle)
    for table in _tables(predictor, file):
        yield from predictor.predict(table)


def explain_file(
    bundle: Path, file: Path, *, tolerance: float, max_steps: int
) -> Iterator[Explanation]:
    """Explain the predictions for the rows of a file, in its order.

    Args:
        bundle: folder of the bundle.
        file: as `predict_file` takes it.
        tolerance: see `Explainer`.
        max_steps: likewise.

    Raises:
        ExplainError: the model cannot be explained, or Captum is not installed; and what
            `predict_file` raises.
    """
    from rayml.serve.explainer import Explainer
    from rayml.serve.predictor import Predictor

    predictor = Predictor.load(bundle)
    explainer = Explainer(predictor, tolerance=tolerance, max_steps=max_steps)
    for table in _tables(predictor, file):
        for start in range(0, table.num_rows, _EXPLAINED_ROWS):
            yield from explainer.explain(table.slice(start, _EXPLAINED_ROWS))


def _tables(predictor: Predictor, file: Path) -> Iterator[pa.Table]:
    """The rows of a file, part by part, in the types of the signature."""
    from rayml.serve.request import RequestParser

    if not file.is_file():
        raise ConfigError("a file of rows exists", value=str(file))
    match file.suffix:
        case ".csv":
            tables = _csv(file)
        case ".parquet":
            tables = (pa.table(batch) for batch in pq.ParquetFile(file).iter_batches())
        case ".json":
            parser = RequestParser(predictor.signature, max_rows=_MAX_JSON_ROWS)
            tables = iter([predictor.table(parser.parse(file.read_bytes()))])
        case _:
            raise ConfigError(
                "a file of rows is CSV, Parquet or JSON",
                value=file.name,
                remedy="End its name in .csv, .parquet or .json",
            )
    before = 0
    for table in tables:
        yield _typed(table, predictor.signature, before)
        before += table.num_rows


def _csv(file: Path) -> Iterator[pa.Table]:
    settings = CsvSettings()
    with file.open("rb") as stream:
        names = csv_reader.read_header(stream, settings) or ()
    with file.open("rb") as stream:
        for table in csv_reader.read_tables(stream, settings, file=file.name, columns=names):
            _refuse_malformed(table)
            yield table


def _refuse_malformed(table: pa.Table) -> None:
    reasons = table.column(MALFORMED)
    if reasons.null_count < len(reasons):
        row = int(np.argmax(reasons.is_valid().to_numpy()))
        raise DataError(
            f"line {table.column(LINE)[row]} can be read ({reasons[row]})", remedy="Mend the file"
        )


def _typed(table: pa.Table, signature: Signature, before: int) -> pa.Table:
    columns = {}
    for column in signature.inputs:
        if column.name not in table.column_names:
            columns[column.name] = pa.nulls(table.num_rows, ARROW_TYPES[column.kind])
            continue
        raw = table.column(column.name)
        values, misfits = parse(raw, column.kind)
        if misfits.any():
            row = int(np.argmax(misfits))
            raise DataError(
                f"row {before + row} of the file fits the signature:"
                f" {column.name} {EXPECTED[column.kind]}",
                value=raw[row].as_py(),
                remedy="Mend the value, or leave it empty if it is unknown",
            )
        columns[column.name] = values
    return pa.table(columns)
