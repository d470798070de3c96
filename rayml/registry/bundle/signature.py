"""The signature of a bundle: which columns go in, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.data.columns.schema import FeatureSchema
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.fit.preprocess import Preprocessor
from rayml.tasks.table import require_task
from rayml.types import Kind, Size, TargetInfo, settings


@settings
class InputColumn:
    """One column that a request may hold; none is required, since a missing value is defined.

    Attributes:
        name: name of the column.
        kind: kind of its values.
        categories: values of a categorical column on the training split, the most frequent first.
        minimum: smallest value of a numeric column on the training split, where known.
        maximum: largest value, where known.
        example: a typical value as JSON has it; None where none is known.
        withheld: why its values are not published, see `rayml.registry.bundle.published`; None
            where they are.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    example: str | float | bool | None = None
    withheld: Literal["private", "identifier", "many"] | None = None


def _of_known_task(target: TargetInfo) -> TargetInfo:
    require_task(target.task)
    return target


@settings
class Signature:
    """Inputs and target of a bundle.

    Attributes:
        inputs: columns in the order of the feature schema.
        target: what is predicted.
        csv: dialect of the CSV files that the model was trained on; None where there were none,
            or where an older rayml wrote the bundle.
        missing: texts that mean a missing value, in training and in requests, unless they are
            categories of the column.
        max_published: a column with more different values than this does not publish them.
    """

    inputs: tuple[InputColumn, ...]
    target: Annotated[TargetInfo, AfterValidator(_of_known_task)]
    csv: CsvSettings | None = None
    missing: tuple[str, ...] = ()
    max_published: Size = 100

    def struct(self) -> pa.StructType:
        """Arrow type of one row: the input columns in natural types."""
        return pa.struct([(column.name, ARROW_TYPES[column.kind]) for column in self.inputs])

    def example(self) -> dict[str, Any]:
        """A row of typical values."""
        return {column.name: column.example for column in self.inputs}


def make_signature(preprocessor: Preprocessor, *, csv: CsvSettings | None = None) -> Signature:
    """Derive the signature of a bundle from what its preprocessor learned.

    Args:
        preprocessor: the fitted preprocessor of the bundle.
        csv: dialect of the CSV files that it was fitted on; None where there were none.
    """
    profile, schema = preprocessor.profile(), preprocessor.schema
    known = {column.name: column.categories for column in preprocessor.categorical}
    inputs = (
        InputColumn(
            name=column.name,
            kind=column.kind,
            categories=tuple(
                profile[column.name].get("categories", known[column.name])
                if column.kind == "categorical"
                else ()
            ),
            minimum=profile[column.name].get("minimum") if column.kind == "numeric" else None,
            maximum=profile[column.name].get("maximum") if column.kind == "numeric" else None,
            example=profile[column.name]["example"],
            withheld=_withheld(column.name, schema, profile[column.name]),
        )
        for column in schema.columns
    )
    return Signature(
        inputs=tuple(inputs),
        target=preprocessor.target,
        csv=csv,
        missing=schema.missing,
        max_published=schema.max_published,
    )


def _withheld(
    name: str, schema: FeatureSchema, profile: Mapping[str, Any]
) -> Literal["private", "identifier", "many"] | None:
    if name in schema.private:
        return "private"
    if name in schema.identifiers:
        return "identifier"
    if profile["kind"] == "text":
        return None  # no text is published
    # The sample that the schema was inferred from may lack some values.
    distinct = max(schema.distinct(name), len(profile.get("categories", ())))
    return "many" if distinct > schema.max_published else None
