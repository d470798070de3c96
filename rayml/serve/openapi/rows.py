"""`/predict` in the OpenAPI document: rows, and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence

from rayml.data.fit.oddities import ODD_KINDS
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.openapi.schema import (
    BINARY,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    array,
    enum,
    example,
    json_content,
    obj,
    post,
    ref,
)
from rayml.serve.predict.answer import GROUP, RegionGroups
from rayml.serve.predict.regions import PARAMETER
from rayml.serve.tensors.arrow import FILE, STREAM
from rayml.tasks.table import build_task
from rayml.types import TargetInfo

MISFIT = {"422": "A value does not fit its column; `row` and `column` name it."}
WARNED: Schema = {
    "warnings": {
        "type": "object",
        "description": "Values of the row that are unlike those of training, by column: `unknown`,"
        " a category that the model does not know; `missing`, no value where training never misses"
        " one; `range`, farther outside of the training range than that is wide; `cut`, a text"
        " whose end is not read. Absent if there are none.",
        "minProperties": 1,
        "additionalProperties": enum(ODD_KINDS),
    }
}
_JSON_TYPES = {
    "numeric": "number",
    "categorical": "string",
    "boolean": "boolean",
    "timestamp": "string",
    "text": "string",
}
_SPREAD = {
    "spread": NUMBER
    | {
        "minimum": 0,
        "description": "Standard deviation over the ensemble's members, of `probability` or"
        " `value`.",
    }
}
INTERVAL: Schema = {
    "in": "query",
    "name": PARAMETER,
    "description": "Probability with which each answer has an interval, or a set of labels, that"
    " holds the truth; calibrated on validation rows, see `intervals` of `/metadata`.",
    "schema": NUMBER | {"exclusiveMinimum": 0, "exclusiveMaximum": 1, "examples": [0.9]},
}
_ARROW = BINARY | {
    "description": "Arrow IPC without compressed buffers: a column of the signature each, in any"
    " order; one that is left out is missing."
}
_ARROW_ANSWER = BINARY | {
    "description": "An Arrow IPC stream of the same rows, where the request is Arrow and"
    " `Accept` names it: a column for each key of an answer."
}


def predict(signature: Signature, *, regions: bool) -> Operation:
    """Describe `/predict`; `regions` says whether the bundle gives such."""
    row = signature.example()
    body = json_content(
        {"anyOf": [ref("Rows"), ref("RowList"), ref("Row")]},
        {"one": example("one row", row), "many": example("many rows", {"rows": [row, row]})},
    )
    arrow = {kind.decode(): {"schema": _ARROW} for kind in (STREAM, FILE)}
    answer = {
        "description": "One answer a row, in their order.",
        "content": {
            **json_content(ref("Predictions")),
            STREAM.decode(): {"schema": _ARROW_ANSWER},
        },
    }
    return post(
        "/predict",
        "predict",
        "Predict one row or many",
        body | arrow,
        answer,
        parameters=[INTERVAL] if regions else [],
        errors={
            "422": f"{MISFIT['422']} Or the model does not support the interval.",
            "400": "The body is no JSON or Arrow IPC or not what its Content-Encoding says, or an"
            " object in it names a key twice.",
            "415": "The body has a Content-Encoding other than gzip and deflate, or buffers of"
            " Arrow are compressed.",
        },
    )


def row_schemas(
    signature: Signature,
    max_rows: int,
    *,
    ensemble: bool,
    regions: RegionGroups | None = None,
) -> Schema:
    """Rows, answers, and the error that every path has in common.

    Args:
        signature: of the bundle.
        max_rows: rows of a request at most.
        ensemble: whether several models answer.
        regions: how rows are grouped for regions; None where the bundle gives none.
    """
    return {
        "Row": {
            "type": "object",
            "description": "A column that is absent or null is missing.",
            "properties": {
                column.name: _column(column, signature.missing) for column in signature.inputs
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
        "RowList": array(ref("Row"), minItems=1, maxItems=max_rows),
        "Rows": obj({"rows": ref("RowList")}, additionalProperties=False),
        "Answer": _answer(signature.target, _SPREAD if ensemble else {}, regions),
        "Predictions": obj({"predictions": array(ref("Answer"))}),
        "Error": obj({"error": TEXT}, {"row": {"type": "integer", "minimum": 0}, "column": TEXT}),
    }


def _column(column: InputColumn, tokens: Sequence[str]) -> Schema:
    schema = _value(column)
    if not tokens or column.kind in ("categorical", "text"):
        return schema
    described = {"description": schema.pop("description")} if "description" in schema else {}
    missing = enum(tokens) | {"description": "Is read as missing."}
    return {"anyOf": [schema, missing], **described}


def _value(column: InputColumn) -> Schema:
    types = [_JSON_TYPES[column.kind], "null"]
    if column.kind in ("categorical", "boolean"):
        types.insert(1, "integer")
    schema: Schema = {"type": types}
    if column.kind == "boolean":
        schema |= {"minimum": 0, "maximum": 1}  # of the numbers that stand for truth values
    if column.kind == "timestamp":
        schema["format"] = "date-time"
    if column.kind == "text":
        schema["description"] = "Text, which is read by its meaning; an empty one is missing."
    if column.example is not None:
        schema["examples"] = [column.example]
    if column.categories:
        known = ", ".join(f"`{category}`" for category in column.categories[:50])
        schema["description"] = f"Seen in training: {known}; others count as unknown."
    if column.minimum is not None and column.maximum is not None:
        schema["description"] = f"In training from {column.minimum:g} to {column.maximum:g}."
    return schema


def _answer(target: TargetInfo, spread: Schema, regions: RegionGroups | None) -> Schema:
    task = build_task(target)
    region: Schema = {} if regions is None else {task.region: task.region_schema()}
    if regions is not None and regions.grouped:
        region[GROUP] = enum([*regions.values, None]) | {
            "description": f"Whose rows calibrated `{task.region}`; null for all rows."
        }
    return obj({**task.answer_schema(), **spread}, {**region, **WARNED})
