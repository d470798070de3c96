"""Requests of `/explain`: rows as for `/predict`, a class, and another baseline."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_core import SchemaValidator, ValidationError, core_schema

from rayml.errors import RequestError
from rayml.registry.bundle.signature import Signature
from rayml.serve.predict.row_parser import (
    RequestParser,
    Row,
    refuse_repeated_keys,
    row_schema,
    rows_schema,
)
from rayml.types import ClassLabel

# No row looks like this, since no value is a list.
_WRAPPED = re.compile(rb'"rows"\s*:\s*\[')
_OPTIONS = ("label", "baseline")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of `/explain`.

    Attributes:
        rows: the rows whose predictions are explained.
        label: the class whose probability is explained; None takes the predicted one.
        baseline: values that replace those of the baseline.
    """

    rows: list[Row]
    label: ClassLabel | None = None
    baseline: Row | None = None


class ExplainParser(RequestParser):
    """Parses bodies of `/explain`: those of `/predict`, with options beside `rows`.

    Args:
        signature: signature of the bundle.
        max_rows: most rows of a request.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        super().__init__(signature, max_rows=max_rows)
        row = row_schema(signature)
        label = core_schema.union_schema(
            [
                core_schema.bool_schema(strict=True),
                core_schema.int_schema(strict=True),
                core_schema.str_schema(strict=True),
            ]
        )
        fields = {
            "label": core_schema.nullable_schema(label),
            "baseline": core_schema.nullable_schema(row),
        }
        self._asked = SchemaValidator(
            core_schema.typed_dict_schema(
                {
                    "rows": core_schema.typed_dict_field(rows_schema(row, max_rows)),
                    **{
                        name: core_schema.typed_dict_field(schema, required=False)
                        for name, schema in fields.items()
                    },
                },
                extra_behavior="forbid",
            )
        )

    def parse_asked(self, body: bytes) -> Asked:
        """Parse one body.

        Raises:
            RequestError: see `parse`; and 422 for an option that is unknown or malformed.
        """
        if not _WRAPPED.search(body):
            return Asked(self.parse(body))
        try:
            asked = self._asked.validate_json(body)
        except ValidationError as error:
            raise self._misfit_option(error) or self._refusal(error) from None
        self._require_columns(asked["rows"])
        refuse_repeated_keys(body)
        return Asked(asked["rows"], *(asked.get(name) for name in _OPTIONS))

    def _misfit_option(self, error: ValidationError) -> RequestError | None:
        problem = error.errors(include_url=False)[0]
        match problem["loc"]:
            case ("baseline", str(column), *_):
                return RequestError(
                    f"`baseline`, column {column!r}: there is no such column, or the value does not"
                    " fit it",
                    status=422,
                    found=problem["input"],
                    column=column,
                )
            case ("label", *_):
                return RequestError("`label` is no class", status=422, found=problem["input"])
            case ("baseline", *_):
                return RequestError(
                    "`baseline` is no object of columns", status=422, found=problem["input"]
                )
            case (str(name),) if problem["type"] == "extra_forbidden":
                return RequestError(
                    "unknown key beside `rows`",
                    status=422,
                    found=name,
                    remedy="It may be `label` or `baseline`",
                )
        return None
