"""The OpenAPI 3.1 document of an endpoint, typed by its bundle's signature."""

from __future__ import annotations

from typing import Any

from rayml.registry.signature import InputColumn, Signature
from rayml.serve.answer import class_key
from rayml.types import TargetInfo

Schema = dict[str, Any]

_JSON_TYPES = {
    "numeric": "number",
    "categorical": "string",
    "boolean": "boolean",
    "timestamp": "string",
}
_SPREAD = {
    "spread": {
        "type": "number",
        "minimum": 0,
        "description": "Standard deviation over the ensemble's members, of `probability` or"
        " `value`.",
    }
}
_ERRORS = {
    "400": "The body is no JSON or not what its Content-Encoding says, or an object in it names"
    " a key twice.",
    "408": "The request took too long.",
    "413": "The body or the number of rows is larger than allowed.",
    "415": "The body has a Content-Encoding other than gzip and deflate.",
    "422": "A value does not fit its column; `row` and `column` name it.",
    "500": "The model failed.",
    "503": "Too many requests wait; `Retry-After` says when to come again.",
}


def openapi(
    name: str,
    version: str,
    signature: Signature,
    *,
    max_rows: int,
    max_explain_rows: int,
    ensemble: int | None = None,
) -> Schema:
    """Describe an endpoint.

    Args:
        name: of the model.
        version: of the model.
        signature: of its bundle.
        max_rows: rows of a request at most.
        max_explain_rows: rows of a request to explain at most.
        ensemble: models whose mean is answered; None where one model answers.
    """
    models = f" It is the mean of {ensemble} models." if ensemble else ""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": f"Predicts `{signature.target.name}` ({signature.target.task}).{models}",
        },
        "paths": {
            "/predict": {"post": _predict(signature)},
            "/explain": {"post": _explain(signature)},
            "/healthz": {"get": _get("health", "Whether the process answers", "Status")},
            "/readyz": {"get": _get("ready", "Whether the model predicts", "Status")},
            "/metadata": {"get": _get("metadata", "What is served", "Metadata")},
        },
        "components": {
            "schemas": {
                **_schemas(signature, max_rows, ensemble=ensemble is not None),
                **_explain_schemas(signature, max_explain_rows),
            }
        },
    }


def _predict(signature: Signature) -> Schema:
    example = signature.example()
    body: Schema = {
        "schema": {"anyOf": [_ref("Rows"), _ref("RowList"), _ref("Row")]},
        "examples": {
            "one": {"summary": "one row", "value": example},
            "many": {"summary": "many rows", "value": {"rows": [example, example]}},
        },
    }
    return {
        "operationId": "predict",
        "summary": "Predict one row or many",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": _response("One answer a row, in their order.", "Predictions"),
            **{status: _response(text, "Error") for status, text in _ERRORS.items()},
        },
    }


def _explain(signature: Signature) -> Schema:
    example = signature.example()
    body: Schema = {
        "schema": {"anyOf": [_ref("ExplainedRows"), _ref("ExplainedRowList"), _ref("Row")]},
        "examples": {
            "one": {"summary": "one row", "value": example},
            "baseline": {
                "summary": "against another baseline",
                "value": {"rows": [example], "baseline": dict.fromkeys(example)},
            },
        },
    }
    return {
        "operationId": "explain",
        "summary": "Explain the predictions of one row or many",
        "description": "Integrated gradients (Sundararajan et al. 2017) from the baseline's"
        " prediction to the row's, added up to the columns.",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": _response("One explanation a row, in their order.", "Explanations"),
            **{status: _response(text, "Error") for status, text in _ERRORS.items()},
            "422": _response(f"{_ERRORS['422']} Or the model cannot be explained.", "Error"),
        },
    }


def _get(operation: str, summary: str, schema: str) -> Schema:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _response(summary, schema)},
    }


def _response(description: str, schema: str) -> Schema:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(schema)}},
    }


def _schemas(signature: Signature, max_rows: int, *, ensemble: bool) -> Schema:
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    answers = {"type": "array", "items": _ref("Answer")}
    place = {"row": {"type": "integer", "minimum": 0}, "column": {"type": "string"}}
    return {
        "Row": {
            "type": "object",
            "description": "A column that is absent or null is missing.",
            "properties": {column.name: _column(column) for column in signature.inputs},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "RowList": rows,
        "Rows": _object({"rows": _ref("RowList")}) | {"additionalProperties": False},
        "Answer": _answer(signature.target, _SPREAD if ensemble else {}),
        "Predictions": _object({"predictions": answers}),
        "Error": _object({"error": {"type": "string"}}, place),
        "Status": _object({"status": {"type": "string"}}),
        "Metadata": _object({"name": {"type": "string"}, "version": {"type": "string"}}),
    }


def _explain_schemas(signature: Signature, max_rows: int) -> Schema:
    number = {"type": "number"}
    classes = list(signature.target.classes)
    label = {"label": {"enum": classes}} if classes else {}
    rows = {"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": max_rows}
    options: Schema = {
        "baseline": {
            "anyOf": [_ref("Row"), {"type": "null"}],
            "description": "Values that take the place of the typical ones.",
        }
    }
    if classes:
        options["label"] = {
            "enum": [*classes, None],
            "description": "The class whose probability is explained, else the predicted one.",
        }
    return {
        "ExplainedRowList": rows,
        "ExplainedRows": _object({"rows": _ref("ExplainedRowList")}, options)
        | {"additionalProperties": False},
        "Explanation": _object(
            {
                **label,
                "prediction": number | {"description": "Probability of `label`, or the value."},
                "baseline": number | {"description": "The same for the baseline."},
                "attributions": _object({column.name: number for column in signature.inputs}),
                "delta": number | {"description": "What the attributions lack of the difference."},
                "tolerance": number | {"description": "Greatest |delta| that is aimed at."},
                "converged": {"type": "boolean", "description": "|delta| is within `tolerance`."},
                "steps": {"type": "integer", "description": "Gradients that were computed."},
            }
        ),
        "Explanations": _object(
            {
                "explanations": {"type": "array", "items": _ref("Explanation")},
                "baseline": _ref("Row"),
            }
        ),
    }


def _column(column: InputColumn) -> Schema:
    types = [_JSON_TYPES[column.kind], "null"]
    if column.kind == "categorical":
        types.insert(1, "integer")
    schema: Schema = {"type": types}
    if column.kind == "timestamp":
        schema["format"] = "date-time"
    if column.example is not None:
        schema["examples"] = [column.example]
    if column.categories:
        known = ", ".join(f"`{category}`" for category in column.categories[:50])
        schema["description"] = f"Seen in training: {known}; others count as unknown."
    if column.minimum is not None and column.maximum is not None:
        schema["description"] = f"In training from {column.minimum:g} to {column.maximum:g}."
    return schema


def _answer(target: TargetInfo, spread: Schema) -> Schema:
    if target.task == "regression":
        return _object({"value": {"type": "number"}, **spread})
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(
        {
            "label": {"enum": list(target.classes)},
            "probability": share,
            "probabilities": _object({class_key(label): share for label in target.classes}),
            **spread,
        }
    )


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
