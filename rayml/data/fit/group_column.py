"""Reads the value of one raw column back from prepared features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import DataError
from rayml.types import Features

NONE = -1
"""The place of a value that is none of the column's."""


class GroupColumn:
    """A column of categories or truth values by which rows are grouped.

    An unknown category belongs to the group of the known one that models take it as.

    Args:
        preprocessor: of the features.
        name: of the column.

    Attributes:
        name: of the column.
        values: that rows are grouped by.

    Raises:
        DataError: there is no such column, it has another kind, or its values are not published.
    """

    def __init__(self, preprocessor: Preprocessor, name: str) -> None:
        self.name = name
        kinds = {column.name: column.kind for column in preprocessor.schema.columns}
        if kinds.get(name) not in ("categorical", "boolean"):
            suited = [each for each, kind in kinds.items() if kind in ("categorical", "boolean")]
            found = f"is {kinds[name]}" if name in kinds else "is no feature"
            raise DataError(
                f"rows cannot be grouped by column {name!r}, which {found}",
                remedy="Group them by a column of categories or truth values"
                + (f": {', '.join(suited[:20])}" if suited else "; there is none"),
            )
        self.values: tuple[str | bool, ...] = (False, True)
        self._categorical = kinds[name] == "categorical"
        places = [column.name for column in preprocessor.categorical]
        if self._categorical:
            self._place = places.index(name)
            self.values = preprocessor.categorical[self._place].categories
            _require_published(preprocessor.schema, name, len(self.values))
        else:
            self._place = [each.name for each in preprocessor.numeric_features].index(name)
        rows: list[dict[str, str | bool]] = [{name: value} for value in self.values]
        self._known = self._column(preprocessor.transform_rows(rows)) if rows else np.zeros(0)

    def places(self, features: Features) -> npt.NDArray[np.int64]:
        """Places of the rows' values among `values`, [rows]; `NONE` of a missing value."""
        column = self._column(features)
        order = np.argsort(self._known, kind="stable")
        found = np.full(len(column), NONE, np.int64)
        if len(order):
            at = np.minimum(np.searchsorted(self._known, column, sorter=order), len(order) - 1)
            found = np.where(self._known[order[at]] == column, order[at], NONE)
        return found

    def _column(self, features: Features) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
        if self._categorical:
            return features.categorical[:, self._place]
        return features.numeric[:, self._place].astype(np.float64)


def _require_published(schema: FeatureSchema, name: str, values: int) -> None:
    """Check that the values may be shown, as answers and the model card name the groups."""
    if name in schema.private:
        why = "is private"
    elif name in schema.identifiers:
        why = "looks like an identifier"
    elif values > schema.max_published:
        why = f"has {values} values, over data.schema.max_published={schema.max_published}"
    else:
        return
    raise DataError(
        f"rows cannot be grouped by column {name!r}, which {why}: answers name their group",
        remedy="Set confirm.intervals.group to a column whose values may be shown",
    )
