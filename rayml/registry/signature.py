"""The signature of a bundle: which columns go in, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from rayml.data.dialect import CsvSettings
from rayml.data.kinds import ARROW_TYPES
from rayml.data.preprocess import Preprocessor
from rayml.types import Kind, TargetInfo, settings


@settings
class InputColumn:
    """One column that a request may hold; none is required, since a missing value is defined.

    Attributes:
        name: of the column.
        kind: of its values.
        categories: values of a categorical column on the training split, the frequent first.
        minimum: least value of a numeric column on the training split, where known.
        maximum: greatest value likewise.
        example: a typical value as JSON gives it; None where none is known.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    example: str | float | bool | None = None


@settings
class Signature:
    """Inputs and target of a bundle.

    Attributes:
        inputs: columns in the order of the feature schema.
        target: what is predicted.
        csv: how the CSV files are written that the model was trained on; None if there were none,
            or an older rayml wrote the bundle.
        missing: texts that say that a value is missing, in training and in requests, unless they
            are categories of the column.
    """

    inputs: tuple[InputColumn, ...]
    target: TargetInfo
    csv: CsvSettings | None = None
    missing: tuple[str, ...] = ()

    def struct(self) -> pa.StructType:
        """Arrow type of one row: the input columns in natural types."""
        return pa.struct([(column.name, ARROW_TYPES[column.kind]) for column in self.inputs])

    def example(self) -> dict[str, Any]:
        """A row of typical values."""
        return {column.name: column.example for column in self.inputs}


def make_signature(preprocessor: Preprocessor, *, csv: CsvSettings | None = None) -> Signature:
    """Derive the signature of a bundle from what its preprocessor learned.

    Args:
        preprocessor: of the bundle.
        csv: how the CSV files are written that it was fitted on, if there were any.
    """
    profile = preprocessor.profile()
    inputs = (
        InputColumn(
            name=column.name,
            kind=column.kind,
            categories=_categories(column.kind, profile[column.name]),
            minimum=profile[column.name].get("minimum") if column.kind == "numeric" else None,
            maximum=profile[column.name].get("maximum") if column.kind == "numeric" else None,
            example=profile[column.name]["example"],
        )
        for column in preprocessor.schema.columns
    )
    return Signature(
        inputs=tuple(inputs),
        target=preprocessor.target,
        csv=csv,
        missing=preprocessor.schema.missing,
    )


def _categories(kind: Kind, profile: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(profile["categories"]) if kind == "categorical" else ()
