"""`/feedback` in the OpenAPI document."""

from __future__ import annotations

from rayml.registry.bundle.signature import Signature
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.openapi.rows import MISFIT
from rayml.serve.openapi.schema import (
    NUMBER,
    Operation,
    Schema,
    array,
    example,
    json_answer,
    json_content,
    obj,
    post,
    ref,
)
from rayml.tasks.table import build_task
from rayml.types import TargetInfo

_ID: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 200},
        {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1},
    ]
}


def feedback(signature: Signature) -> Operation:
    """Describe `/feedback`."""
    row = signature.example()
    value = {"rows": [row], "labels": [build_task(signature.target).example_label()]}
    return post(
        FEEDBACK,
        "feedback",
        "Tell the labels of rows, now that they are known",
        json_content(ref("Feedback"), {"one": example("one row", value)}),
        json_answer("The mean loss of each version on these rows.", "Losses"),
        errors={
            "415": "The body is not said to be JSON, or has a Content-Encoding other than gzip and"
            " deflate.",
            "422": f"{MISFIT['422']} Or a label is none of the target.",
        },
        description="Champion and canary both predict the rows, and are compared row by row. A row"
        " counts once, by its id where ids are given, else by its values.",
        access="feedback",
    )


def feedback_schemas(target: TargetInfo, max_rows: int) -> Schema:
    """Rows with labels, and the losses on them.

    Args:
        target: of the signature.
        max_rows: rows of a request at most.
    """
    label = build_task(target).label_schema()
    loss = {
        "type": "object",
        "description": "By version: the share of wrong classes, or the mean absolute error in"
        " standard deviations of the target.",
        "additionalProperties": NUMBER | {"minimum": 0},
    }
    return {
        "Feedback": obj(
            {
                "rows": ref("RowList"),
                "labels": array(label, minItems=1, maxItems=max_rows)
                | {"description": "As many as rows, in their order."},
            },
            {
                "ids": array(_ID, minItems=1, maxItems=max_rows)
                | {"description": "As many as rows; each identifies its row."}
            },
            additionalProperties=False,
        ),
        "Losses": obj(
            {
                "rows": {"type": "integer", "minimum": 1},
                "counted": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "Rows that had not counted before.",
                },
                "loss": loss,
            }
        ),
    }
