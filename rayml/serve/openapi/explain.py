"""`/explain` in the OpenAPI document."""

from __future__ import annotations

from rayml.registry.bundle.signature import Signature
from rayml.serve.openapi.rows import MISFIT, WARNED
from rayml.serve.openapi.schema import (
    FLAG,
    NUMBER,
    WHOLE,
    Operation,
    Schema,
    array,
    enum,
    example,
    json_answer,
    json_content,
    nullable,
    obj,
    post,
    ref,
)


def explain(signature: Signature) -> Operation:
    """Describe `/explain`."""
    row = signature.example()
    other = {"rows": [row], "baseline": dict.fromkeys(row)}
    body = json_content(
        {"anyOf": [ref("ExplainedRows"), ref("ExplainedRowList"), ref("Row")]},
        {"one": example("one row", row), "baseline": example("against another baseline", other)},
    )
    return post(
        "/explain",
        "explain",
        "Explain the predictions of one row or many",
        body,
        json_answer("One explanation a row, in their order.", "Explanations"),
        errors={"422": f"{MISFIT['422']} Or the model cannot be explained."},
        description="Integrated gradients (Sundararajan et al. 2017) from the baseline's"
        " prediction to the row's, added up to the columns.",
    )


def explain_schemas(signature: Signature, max_rows: int) -> Schema:
    """Rows to explain, and explanations.

    Args:
        signature: of the bundle.
        max_rows: rows of a request at most.
    """
    classes = list(signature.target.classes)
    label = {"label": enum(classes)} if classes else {}
    options: Schema = {
        "baseline": nullable(ref("Row"))
        | {"description": "Values that take the place of the typical ones."}
    }
    if classes:
        options["label"] = enum([*classes, None]) | {
            "description": "The class whose probability is explained, else the predicted one."
        }
    return {
        "ExplainedRowList": array(ref("Row"), minItems=1, maxItems=max_rows),
        "ExplainedRows": obj(
            {"rows": ref("ExplainedRowList")}, options, additionalProperties=False
        ),
        "Explanation": obj(
            {
                **label,
                "prediction": NUMBER | {"description": "Probability of `label`, or the value."},
                "baseline": NUMBER | {"description": "The same for the baseline."},
                "attributions": obj({column.name: NUMBER for column in signature.inputs}),
                "delta": NUMBER | {"description": "What the attributions lack of the difference."},
                "tolerance": NUMBER | {"description": "Greatest |delta| that is aimed at."},
                "converged": FLAG | {"description": "|delta| is within `tolerance`."},
                "steps": WHOLE | {"description": "Gradients that were computed."},
            },
            WARNED,
        ),
        "Explanations": obj(
            {"explanations": array(ref("Explanation")), "baseline": ref("Row")},
        ),
    }
