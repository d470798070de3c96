"""The preprocessor: raw columns to features, fitted on statistics and stored as JSON.

The outputs for values that training did not see:

- A missing number gives the output of the training mean (0 when standardised) or median (0 when
  mapped by quantiles), a missing truth value the share of true ones, a missing time 0 in all its
  parts. A column that misses values on the training split has a further 0/1 output for them.
- A number out of range is cut: by quantiles at the first and last reference point, standardised
  at 10,000 standard deviations. A column without variance gives 0 for any number.
- An unknown category has the code 0. A missing one has a code of its own if training misses
  values in that column, and counts as unknown otherwise. If no training row has the code 0, no
  model learns it: the preprocessor of a bundle then gives an unknown category the code of a known
  one, its stand-in, see `rayml.models.modules.stand_ins`.
- The source's tokens for a missing value, such as `?`, are missing.
- The numbers of a text are transformed as numbers are, those of a missing or empty one as missing
  ones. Of a longer text than its encoder takes, the rest is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.data.columns.natural import natural
from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.column_transforms import (
    CategoricalColumn,
    Feature,
    Mask,
    NumericColumn,
    TimestampColumn,
    numeric_from_json,
    numeric_to_json,
)
from rayml.data.fit.fitting import fit_categorical, fit_numeric, fit_target, fit_timestamp
from rayml.data.fit.knots import Knots, fit_knots
from rayml.data.fit.numbers import NumericColumns
from rayml.data.fit.oddities import Oddities
from rayml.data.fit.parts import Parts, require_distinct
from rayml.data.fit.preprocessor_files import read_state, write_state
from rayml.data.fit.text_columns import TextColumn, save_encoders, stored_encoders
from rayml.data.statistics.profile import profile_columns
from rayml.data.statistics.statistics import Statistics
from rayml.data.statistics.target import encode
from rayml.data.text.reader import TextReader
from rayml.settings.data import PreprocessSettings
from rayml.storage.bounded import read_bounded
from rayml.types import ClassLabel, Features, FeatureShape, TargetInfo, TaskName

NO_OTHERS = pa.table({})
"""The columns of times and texts of a schema that has none."""


class Preprocessor:
    """Transforms tables of raw columns to features.

    Args:
        schema: columns that it takes.
        target: what is predicted.
        numeric: transforms of numeric and boolean columns.
        timestamps: transforms of times.
        categorical: transforms of categories.
        texts: transforms of texts.
        indicators: columns, of any kind but categorical, with a 0/1 output for missing values.
        profile: of the training split, see `profile`.
        stand_ins: by categorical column the known category that an unknown one is taken as.
        knots: by numeric feature its quantiles; empty in the state that an older rayml wrote.

    Attributes:
        oddities: finds values unlike those of training, see `Features.odd`; None if they are not
            wanted.
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
        texts: Sequence[TextColumn] = (),
        stand_ins: Mapping[str, str] = MappingProxyType({}),
        knots: Knots = (),
    ) -> None:
        self.oddities: Oddities | None = None
        self.schema = schema
        self.target = target
        self._numeric = tuple(numeric)
        self._timestamps = tuple(timestamps)
        self._categorical = tuple(replace(c, tokens=schema.missing) for c in categorical)
        self._texts = tuple(column.reading(schema.missing) for column in texts)
        self.stand_ins = dict(stand_ins)
        codes = [c.code(stand_ins[c.name]) if c.name in stand_ins else 0 for c in categorical]
        self._stand_ins = np.array(codes, np.int64) if stand_ins else None
        self._indicators = tuple(indicators)
        self._profile = dict(profile)
        self._numbers = NumericColumns(self._numeric)
        self._numeric_names = [column.name for column in numeric]
        self._types = pa.schema([(c.name, ARROW_TYPES[c.kind]) for c in schema.columns])
        self._number_places = [self._types.get_field_index(column.name) for column in numeric]
        self._parts = Parts(numeric, timestamps, self._texts, indicators)
        self.numeric_features = self._parts.features
        self.categorical_features = tuple(Feature(c.name, c.name, "code") for c in categorical)
        self.shape = FeatureShape(
            len(self.numeric_features),
            tuple(column.cardinality for column in categorical),
            knots,
            self._parts.missing_places() if indicators else (),
        )

    @classmethod
    def fit(
        cls,
        schema: FeatureSchema,
        statistics: Statistics,
        settings: PreprocessSettings,
        task: TaskName,
        positive: ClassLabel | None = None,
        readers: Mapping[str, TextReader] = MappingProxyType({}),
    ) -> Self:
        """Fit to the statistics of the training split, which are made with the same readers.

        Raises:
            DataError: the target does not suit the task, or a column cannot be transformed.
        """
        kinds = {column.name: column.kind for column in schema.columns}
        missing = statistics.missing()
        numeric = [
            fit_numeric(name, kind, statistics, settings)
            for name, kind in kinds.items()
            if kind in ("numeric", "boolean")
        ]
        timestamps = [
            fit_timestamp(name, statistics.numeric[name])
            for name, kind in kinds.items()
            if kind == "timestamp"
        ]
        texts = [
            TextColumn.fit(name, readers[name], statistics, settings)
            for name, kind in kinds.items()
            if kind == "text"
        ]
        indicators = [
            name
            for name, kind in kinds.items()
            if settings.missing_indicators and kind != "categorical" and missing[name]
        ]
        fitted = cls(
            schema,
            fit_target(schema, statistics, task, positive),
            numeric=numeric,
            timestamps=timestamps,
            categorical=[
                fit_categorical(name, statistics.categories[name], settings)
                for name, kind in kinds.items()
                if kind == "categorical"
            ],
            texts=texts,
            indicators=indicators,
            profile=profile_columns(schema, statistics, settings),
            knots=fit_knots(numeric, timestamps, texts, len(indicators), statistics.numeric),
        )
        require_distinct([*(feature.name for feature in fitted.features), fitted.target.name])
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
        table = natural(table, self._types)
        odd: list[bool] = []
        look = None
        if (oddities := self.oddities) is not None:
            look = lambda *part: odd.append(oddities.in_numbers(*part))  # noqa: E731
            odd.append(oddities.in_times(table.select(self.timestamps)))
        numbers, missing = self._numbers.apply(table.select(self._number_places), look)
        numbers = self._appended(table, numbers, missing, odd)
        codes = np.empty((table.num_rows, len(self._categorical)), dtype=np.int64)
        for i, column in enumerate(self._categorical):
            codes[:, i] = column.apply(table.column(column.name))
        return self._features(numbers, codes, any(odd))

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
        others = self._parts.table(rows) if self._parts.columns else NO_OTHERS
        return self.transform_values(numbers, np.array(codes, np.int64).reshape(shape), others)

    def transform_values(
        self,
        numbers: npt.NDArray[np.float64],
        codes: npt.NDArray[np.int64],
        others: pa.Table = NO_OTHERS,
    ) -> Features:
        """Transform values that are numbers and codes already.

        The features are, to the bit, those of `transform_batch` for the table of the same rows.

        Args:
            numbers: of the numeric and boolean columns, [rows, columns] in the schema's order;
                NaN is missing.
            codes: of the categorical columns, [rows, columns] in the schema's order.
            others: the columns of times and texts, in natural types.
        """
        features, missing = self._numbers.apply_rows(numbers)
        odd: list[bool] = []
        if (oddities := self.oddities) is not None:
            odd.append(oddities.in_numbers(numbers, missing))
            if self._timestamps:
                odd.append(oddities.in_times(others.select(self.timestamps)))
        features = self._appended(others, features, missing, odd)
        return self._features(features, codes, any(odd))

    def known_codes(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Codes, [rows, columns], with the stand-ins' codes for unknown categories."""
        return codes if self._stand_ins is None else np.where(codes == 0, self._stand_ins, codes)

    def _features(
        self, numbers: npt.NDArray[np.float32], codes: npt.NDArray[np.int64], odd: bool
    ) -> Features:
        if np.count_nonzero(codes) == codes.size:
            return Features(numbers, codes, odd)
        return Features(numbers, self.known_codes(codes), odd or self.oddities is not None)

    def reading(self, tokens: Sequence[str]) -> Self:
        """A copy that reads these texts as missing values."""
        return self._changed(schema=replace(self.schema, missing=tuple(tokens)))

    def standing_in(self, stand_ins: Mapping[str, str]) -> Self:
        """A copy that takes unknown categories as known ones.

        Args:
            stand_ins: the known category by column.
        """
        return self._changed(stand_ins=stand_ins)

    def watching(self) -> Self:
        """A copy that marks features with odd values."""
        watching = self._changed()
        watching.oddities = Oddities(
            self.schema.columns, self._categorical, self._profile, self._texts
        )
        return watching

    def _changed(self, **changes: Any) -> Self:
        own: dict[str, Any] = {
            "schema": self.schema,
            "target": self.target,
            "numeric": self._numeric,
            "timestamps": self._timestamps,
            "categorical": self._categorical,
            "texts": self._texts,
            "indicators": self._indicators,
            "profile": self._profile,
            "stand_ins": self.stand_ins,
            "knots": self.shape.knots,
        }
        return type(self)(**(own | changes))

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

    def load_encoders(self) -> bool:
        """Load the encoders of texts, and whether there is a slow one, see `TextEncoder.slow`.

        Raises:
            ConfigError: the package `tokenizers` is not installed.
            DataError: the files of an encoder are absent or torn.
        """
        loaded = [column.reader.vectors.encoder.load() for column in self._texts]
        return any(encoder.slow for encoder in loaded)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the columns of times and texts, times first."""
        return self._parts.columns

    def encode_target(self, column: pa.ChunkedArray) -> npt.NDArray[Any]:
        """Encode target values: int64 class codes, or float32 standardised values.

        Raises:
            DataError: a value is missing, or a class that the training split lacks.
        """
        return encode(self.target, column)

    def profile(self) -> dict[str, Any]:
        """Profile of the raw columns on the training split, as a value of JSON."""
        return self._profile

    def save(self, folder: Path) -> None:
        """Write the state to a folder, which is made."""
        state = {
            "schema": self.schema.to_json(),
            "target": asdict(self.target),
            "numeric": [numeric_to_json(column) for column in self._numeric],
            "timestamps": [asdict(column) for column in self._timestamps],
            "categorical": [column.to_json() for column in self._categorical],
            "indicators": self._indicators,
            "stand_ins": self.stand_ins,
            "knots": self.shape.knots,
        }
        if self._texts:
            state["texts"] = [column.to_json() for column in self._texts]
            save_encoders(folder, self._texts)
        write_state(folder, state, self._profile)

    @classmethod
    def load(cls, folder: Path, *, read: Callable[[Path, int], bytes] = read_bounded) -> Self:
        """Restore what `save` wrote; all floats are the same to the bit.

        Args:
            folder: that it was saved to.
            read: gives the content of a file of so many bytes at most.

        Raises:
            DataError: a file is absent or torn, or a newer rayml wrote it.
            RaymlError: `read` raises it.
        """
        state, profile = read_state(folder, read)
        texts = state.get("texts", ())
        encoders = stored_encoders(folder, [value["encoder"] for value in texts], read)
        target = state["target"] | {"classes": tuple(state["target"]["classes"])}
        return cls(
            FeatureSchema.from_json(state["schema"]),
            TargetInfo(**target),
            numeric=[numeric_from_json(value) for value in state["numeric"]],
            timestamps=[TimestampColumn.from_json(value) for value in state["timestamps"]],
            categorical=[CategoricalColumn.from_json(value) for value in state["categorical"]],
            texts=[TextColumn.from_json(value, encoders) for value in texts],
            indicators=state["indicators"],
            profile=profile,
            stand_ins=state.get("stand_ins", {}),
            knots=tuple(map(tuple, state.get("knots", ()))),
        )

    def _appended(
        self, table: pa.Table, numbers: npt.NDArray[np.float32], missing: Mask, odd: list[bool]
    ) -> npt.NDArray[np.float32]:
        """All numeric features; whether texts are odd is added to `odd`."""
        if not self._parts.any:
            return numbers
        look = None
        if (oddities := self.oddities) is not None:
            look = lambda *part: odd.append(oddities.in_texts(*part))  # noqa: E731
        return self._parts.append(table, numbers, missing, look)
