"""The preprocessor: raw columns to features, fitted on statistics and stored as JSON.

What is defined for values that training did not see:

- A missing number gives the output of the training mean (0 when standardised) or median (0 when
  mapped by quantiles), a missing truth value the share of true ones, a missing time 0 in all its
  parts. A column that misses values on the training split has a 0/1 output besides that says so.
- A number out of range is cut: by quantiles at the first and last reference point, standardised
  at 10,000 standard deviations. A column without variance gives 0 for whatever number.
- An unknown category has the code 0. A missing one has a code of its own if training misses
  values in that column, and counts as unknown otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns import (
    CategoricalColumn,
    Feature,
    Mask,
    NumericColumn,
    TimestampColumn,
    numeric_from_json,
    numeric_to_json,
)
from rayml.data.fitting import fit_categorical, fit_numeric, fit_target, fit_timestamp
from rayml.data.kinds import ARROW_TYPES
from rayml.data.numbers import NumericColumns
from rayml.data.profile import profile_columns
from rayml.data.schema import FeatureSchema
from rayml.data.statistics import Statistics
from rayml.data.target import encode
from rayml.errors import DataError, SchemaError
from rayml.types import ClassLabel, Features, FeatureShape, PreprocessSettings, TargetInfo, TaskName

FORMAT = 1
_STATE = "preprocessor.json"
_PROFILE = "profile.json"

NO_TIMES = pa.table({})
"""The times of a schema without a timestamp column."""


class Preprocessor:
    """Transforms tables of raw columns to features.

    Args:
        schema: columns that it takes.
        target: what is predicted.
        numeric: transforms of numeric and boolean columns.
        timestamps: transforms of times.
        categorical: transforms of categories.
        indicators: numeric, boolean and timestamp columns with a 0/1 output for missing values.
        profile: of the training split, see `profile`.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        target: TargetInfo,
        *,
        numeric: Sequence[NumericColumn],
        timestamps: Sequence[TimestampColumn],
        categorical: Sequence[CategoricalColumn],
        indicators: Sequence[str],
        profile: Mapping[str, Any],
    ) -> None:
        self.schema = schema
        self.target = target
        self._numeric = tuple(numeric)
        self._timestamps = tuple(timestamps)
        self._categorical = tuple(categorical)
        self._indicators = tuple(indicators)
        self._profile = dict(profile)
        self._numbers = NumericColumns(self._numeric)
        self._numeric_names = [column.name for column in numeric]
        self._types = pa.schema([(c.name, ARROW_TYPES[c.kind]) for c in schema.columns])
        self._number_places = [self._types.get_field_index(column.name) for column in numeric]
        self.numeric_features = (
            *(Feature(column.name, column.name) for column in numeric),
            *(Feature.part_of(t.name, part) for t in timestamps for part in t.PARTS),
            *(Feature.part_of(name, "missing") for name in indicators),
        )
        self.categorical_features = tuple(Feature(c.name, c.name, "code") for c in categorical)
        self.shape = FeatureShape(
            len(self.numeric_features), tuple(column.cardinality for column in categorical)
        )

    @classmethod
    def fit(
        cls,
        schema: FeatureSchema,
        statistics: Statistics,
        settings: PreprocessSettings,
        task: TaskName,
        positive: ClassLabel | None = None,
    ) -> Self:
        """Fit to the statistics of the training split.

        Raises:
            DataError: the target does not suit the task, or a column cannot be transformed.
        """
        kinds = {column.name: column.kind for column in schema.columns}
        missing = statistics.missing()
        fitted = cls(
            schema,
            fit_target(schema, statistics, task, positive),
            numeric=[
                fit_numeric(name, kind, statistics, settings)
                for name, kind in kinds.items()
                if kind in ("numeric", "boolean")
            ],
            timestamps=[
                fit_timestamp(name, statistics.numeric[name])
                for name, kind in kinds.items()
                if kind == "timestamp"
            ],
            categorical=[
                fit_categorical(name, statistics.categories[name], settings)
                for name, kind in kinds.items()
                if kind == "categorical"
            ],
            indicators=[
                name
                for name, kind in kinds.items()
                if settings.missing_indicators and kind != "categorical" and missing[name]
            ],
            profile=profile_columns(schema, statistics, settings),
        )
        fitted._check_names()
        return fitted

    @property
    def features(self) -> tuple[Feature, ...]:
        """All outputs: the numeric ones, then the codes."""
        return (*self.numeric_features, *self.categorical_features)

    def transform_batch(self, table: pa.Table) -> Features:
        """Transform rows of the raw table to features.

        The one transform of training and serving: its bits for a row do not depend on the
        other rows, nor on how the table is chunked.

        Args:
            table: the schema's feature columns in natural types, in any order among others;
                nulls are missing values.

        Raises:
            SchemaError: a column is absent or of another type.
        """
        table = self._natural(table)
        numbers, missing = self._numbers.apply(table.select(self._number_places))
        if self._timestamps or self._indicators:
            numbers = self._append_parts(table, numbers, missing)
        codes = np.empty((table.num_rows, len(self._categorical)), dtype=np.int64)
        for i, column in enumerate(self._categorical):
            codes[:, i] = column.apply(table.column(column.name))
        return Features(numbers, codes)

    def transform_rows(self, rows: Sequence[Mapping[str, Any]]) -> Features:
        """Transform a few rows of Python values, at a third of the cost of their table.

        The features are, to the bit, those of `transform_batch` for the table of the same rows.

        Args:
            rows: float, bool, str and aware datetime by the kinds of their columns; a column that
                is absent or None is missing.
        """
        values = [tuple(map(row.get, self._numeric_names)) for row in rows]
        shape = (len(rows), len(self._numeric))
        numbers = np.array(values, np.float64).reshape(shape)
        codes = [
            [column.code(row.get(column.name)) for column in self._categorical] for row in rows
        ]
        shape = (len(rows), len(self._categorical))
        times = self._times(rows) if self._timestamps else NO_TIMES
        return self.transform_values(numbers, np.array(codes, np.int64).reshape(shape), times)

    def transform_values(
        self,
        numbers: npt.NDArray[np.float64],
        codes: npt.NDArray[np.int64],
        times: pa.Table = NO_TIMES,
    ) -> Features:
        """Transform values that are numbers and codes already.

        The features are, to the bit, those of `transform_batch` for the table of the same rows.

        Args:
            numbers: of the numeric and boolean columns, [rows, columns] in the schema's order;
                NaN is missing.
            codes: of the categorical columns, [rows, columns] in the schema's order.
            times: the timestamp columns, in natural types.
        """
        features, missing = self._numbers.apply_rows(numbers)
        if self._timestamps or self._indicators:
            features = self._append_parts(times, features, missing)
        return Features(features, codes)

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric and boolean columns, in the schema's order."""
        return tuple(self._numeric_names)

    @property
    def timestamps(self) -> tuple[str, ...]:
        """Names of the timestamp columns, in the schema's order."""
        return tuple(column.name for column in self._timestamps)

    @property
    def categorical(self) -> tuple[CategoricalColumn, ...]:
        """Transforms of the categorical columns, in the schema's order."""
        return self._categorical

    def _times(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        kind = ARROW_TYPES["timestamp"]
        names = [column.name for column in self._timestamps]
        return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name in names})

    def encode_target(self, column: pa.ChunkedArray) -> npt.NDArray[Any]:
        """Encode target values: int64 class codes, or float32 standardised values.

        Raises:
            DataError: a value is missing, or no class of the training split.
        """
        return encode(self.target, column)

    def profile(self) -> dict[str, Any]:
        """Profile of the raw columns on the training split, as a value of JSON."""
        return self._profile

    def save(self, folder: Path) -> None:
        """Write the state to a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "format": FORMAT,
            "schema": self.schema.to_json(),
            "target": asdict(self.target),
            "numeric": [numeric_to_json(column) for column in self._numeric],
            "timestamps": [asdict(column) for column in self._timestamps],
            "categorical": [column.to_json() for column in self._categorical],
            "indicators": self._indicators,
        }
        _write(folder / _STATE, state)
        _write(folder / _PROFILE, self._profile)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Restore what `save` wrote; all floats are the same to the bit.

        Raises:
            DataError: a file is absent or torn, or a newer rayml wrote it.
        """
        state = _read(folder / _STATE)
        if state.get("format") != FORMAT:
            raise DataError(
                f"the format of a preprocessor is {FORMAT}",
                value=state.get("format"),
                remedy="Install the rayml that wrote it",
            )
        target = state["target"] | {"classes": tuple(state["target"]["classes"])}
        return cls(
            FeatureSchema.from_json(state["schema"]),
            TargetInfo(**target),
            numeric=[numeric_from_json(value) for value in state["numeric"]],
            timestamps=[TimestampColumn.from_json(value) for value in state["timestamps"]],
            categorical=[CategoricalColumn.from_json(value) for value in state["categorical"]],
            indicators=state["indicators"],
            profile=_read(folder / _PROFILE),
        )

    def _append_parts(
        self, table: pa.Table, numbers: npt.NDArray[np.float32], missing: Mask
    ) -> npt.NDArray[np.float32]:
        """Put the parts of times and the missing indicators behind the numbers."""
        # Not the table's rows: without a column of times it has none.
        rows, at = numbers.shape
        numeric = np.empty((rows, self.shape.numeric), dtype=np.float32)
        numeric[:, :at] = numbers
        masks = {column.name: missing[:, i] for i, column in enumerate(self._numeric)}
        for time in self._timestamps:
            parts, masks[time.name] = time.apply(table.column(time.name))
            numeric[:, at : at + len(time.PARTS)] = parts
            at += len(time.PARTS)
        for i, name in enumerate(self._indicators, start=at):
            numeric[:, i] = masks[name]
        return numeric

    def _natural(self, table: pa.Table) -> pa.Table:
        """The schema's columns, in its order and in natural types."""
        if table.schema.equals(self._types):
            return table
        columns = dict(zip(table.column_names, table.columns, strict=True))
        for field in self._types:
            values = columns.get(field.name)
            if values is None:
                raise SchemaError(
                    "a table to transform has all columns of the schema",
                    value=table.column_names,
                    remedy=f"Add {field.name!r}; nulls are missing values",
                )
            if values.type != field.type:
                columns[field.name] = _natural(field.name, values, field.type)
        return pa.table([columns[name] for name in self._types.names], schema=self._types)

    def _check_names(self) -> None:
        names = [feature.name for feature in self.features] + [self.target.name]
        clash = sorted({name for name in names if names.count(name) > 1})
        if clash:
            raise SchemaError(
                "no column is named as a part of another", value=clash, remedy="Rename the column"
            )


def _natural(name: str, values: pa.ChunkedArray, expected: pa.DataType) -> pa.ChunkedArray:
    integer = pa.types.is_integer(values.type) and expected == pa.float64()
    if integer or pa.types.is_null(values.type):
        return values.cast(expected, safe=False)
    raise SchemaError(
        f"column {name!r} of a table to transform has the type {expected}",
        value=str(values.type),
        remedy="Cast it",
    )


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path.name} of a preprocessor can be read ({error})",
            value=str(path.parent),
            remedy="Prepare the data again, or restore the folder from where it was copied",
        ) from error
    return value
