"""Building blocks of an OpenAPI document: JSON Schema, answers, operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rayml.serve.access.guard import Access

Schema = dict[str, Any]

JSON_TYPE = "application/json"
BINARY: Schema = {"type": "string", "format": "binary"}
RETRY_AFTER: Schema = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE: Schema = {"WWW-Authenticate": {"schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: a path and a method.

    Attributes:
        method: of HTTP, in lower case.
        path: with its parameters, as `/v2/models/{name}`.
        content: the operation as OpenAPI has it.
        access: that a key needs where keys are required.
    """

    method: Literal["get", "post"]
    path: str
    content: Schema = field(repr=False)
    access: Access = "predict"


def get(
    path: str,
    name: str,
    summary: str,
    content: Schema,
    *,
    access: Access = "predict",
    errors: Mapping[str, str] | None = None,
    **more: Any,
) -> Operation:
    """Describe a page.

    Args:
        path: of the page.
        name: of the operation.
        summary: what it answers.
        content: schemas by media type.
        access: see `Operation`.
        errors: descriptions by status.
        more: what else OpenAPI has of an operation.
    """
    answers = {"200": {"description": summary, "content": content}, **refusals(errors or {})}
    operation = {"operationId": name, "summary": summary, **more, "responses": answers}
    return Operation("get", path, operation, access)


def post(
    path: str,
    name: str,
    summary: str,
    body: Schema,
    answer: Schema,
    *,
    access: Access = "predict",
    errors: Mapping[str, str],
    **more: Any,
) -> Operation:
    """Describe what takes a body; its limits are those of every body.

    Args:
        path: of the operation.
        name: of the operation.
        summary: what it does.
        body: schemas and examples by media type.
        answer: the answer 200.
        access: see `Operation`.
        errors: descriptions by status, besides those of `BODY_ERRORS`.
        more: what else OpenAPI has of an operation.
    """
    operation = {
        "operationId": name,
        "summary": summary,
        **more,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **refusals({**BODY_ERRORS, **errors})},
    }
    return Operation("post", path, operation, access)


BODY_ERRORS = {
    "400": "The body is no JSON or not what its Content-Encoding says, or an object in it names"
    " a key twice.",
    "408": "The request took too long.",
    "413": "The body or the number of rows is larger than allowed.",
    "415": "The body has a Content-Encoding other than gzip and deflate.",
    "500": "The model failed.",
}
_BUSY = "Too many requests wait, or no replica runs; `Retry-After` says when to come again."
_REFUSED = {
    "401": ("No key came, or an unknown one.", _CHALLENGE),
    "403": ("The key lacks the scope that is needed.", _CHALLENGE),
    "429": ("Too many requests of one client.", RETRY_AFTER),
}


def refusals(errors: Mapping[str, str]) -> Schema:
    """Answers of statuses other than 200; any replica may be busy or gone."""
    found = {status: json_answer(text, "Error") for status, text in errors.items()}
    found["503"] = json_answer(_BUSY, "Error") | {"headers": RETRY_AFTER}
    return dict(sorted(found.items()))


def access_refusals(*statuses: str) -> Schema:
    """Answers to requests without a valid key or above the rate."""
    return {
        status: json_answer(text, "Error") | {"headers": headers}
        for status, (text, headers) in _REFUSED.items()
        if status in statuses
    }


def json_answer(description: str, schema: str) -> Schema:
    """An answer of JSON, of a schema of the document's components."""
    return {"description": description, "content": json_content(ref(schema))}


def json_content(schema: Schema, examples: Schema | None = None) -> Schema:
    """Content that is JSON, with examples by name."""
    return {JSON_TYPE: {"schema": schema} | ({"examples": examples} if examples else {})}


def example(summary: str, value: object) -> Schema:
    """An example of a body."""
    return {"summary": summary, "value": value}


def obj(required: Schema, optional: Schema | None = None, **more: Any) -> Schema:
    """An object, by the schemas of its fields."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        **more,
    }


def array(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def enum(values: Sequence[Any]) -> Schema:
    """One of some values."""
    return {"enum": list(values)}


def nullable(schema: Schema) -> Schema:
    """A value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
