"""Pages in the OpenAPI document: health, what is served, metrics, and what people read."""

from __future__ import annotations

from rayml.serve.openapi.schema import (
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Operation,
    Schema,
    array,
    get,
    json_content,
    nullable,
    obj,
    ref,
)

_HTML: Schema = {"text/html": {"schema": TEXT}}
_METRICS: Schema = {"text/plain": {"schema": TEXT}}


def pages() -> list[Operation]:
    """Describe the pages."""
    status, metadata = json_content(ref("Status")), json_content(ref("Metadata"))
    document = json_content({"type": "object"})
    return [
        get("/", "page", "A page for people: the model, and a form", _HTML, access="open"),
        get("/healthz", "health", "Whether the process answers", status, access="open"),
        get("/readyz", "ready", "Whether the model predicts", status, access="open"),
        get("/metadata", "metadata", "What is served", metadata),
        get("/metrics", "metrics", "Metrics as Prometheus reads them", _METRICS, access="admin"),
        get("/openapi.json", "document", "This document", document),
        get("/docs", "docs", "This document for people", _HTML),
    ]


def page_schemas() -> Schema:
    """What pages of JSON hold."""
    anything: Schema = {"type": "object", "additionalProperties": True}
    metrics = {"type": "object", "additionalProperties": NUMBER}
    return {
        "Status": obj({"status": TEXT}),
        "Metadata": obj(
            {
                "name": TEXT,
                "version": TEXT,
                "created": TEXT | {"format": "date-time"},
                "rayml": TEXT | {"description": "Version that wrote the bundle."},
                "digest": TEXT | {"description": "Of the bundle's manifest."},
                "target": ref("Target"),
                "inputs": array(ref("Column")),
                "metric": TEXT | {"description": "That the bundle was chosen by."},
                "metrics": {"type": "object", "additionalProperties": metrics}
                | {"description": "By split, then by name."},
                "ensemble": nullable(WHOLE) | {"description": "Models whose mean is answered."},
                "temperature": NUMBER
                | {"description": "That log-probabilities are divided by, fitted on validation."},
                "decision_rule": nullable(ref("DecisionRule"))
                | {"description": "Which class is answered; null for the most probable one."},
                "confirmed": nullable(ref("ConfirmedMetric")),
                "intervals": nullable(ref("Intervals"))
                | {"description": "What `interval` may be asked of `/predict`; null if nothing."},
                "lineage": anything | {"description": "What makes the same bundle again."},
            }
        ),
        "Target": obj(
            {
                "name": TEXT,
                "task": TEXT,
                "classes": array({"type": ["string", "integer", "boolean"]}),
                "mean": NUMBER,
                "scale": NUMBER,
            }
        ),
        "Column": obj(
            {
                "name": TEXT,
                "kind": TEXT,
                "categories": array(TEXT),
                "minimum": nullable(NUMBER),
                "maximum": nullable(NUMBER),
                "example": {"type": ["string", "number", "boolean", "null"]},
                "withheld": {"enum": ["private", "identifier", "many", None]}
                | {"description": "Why its values are not published; null if they are."},
            }
        ),
        "DecisionRule": _decision_rule(),
        "Intervals": _intervals(),
        "ConfirmedMetric": obj({"seeds": WHOLE, "mean": NUMBER, "low": NUMBER, "high": NUMBER}),
    }


def _decision_rule() -> Schema:
    compared = obj({"usual": NUMBER, "decided": NUMBER, "rows": WHOLE})
    return obj(
        {
            "metric": TEXT | {"description": "That it was chosen for."},
            "threshold": nullable(NUMBER)
            | {"description": "Probability from which on the second of two classes is answered."},
            "costs": nullable(array(array(NUMBER)))
            | {"description": "By the true class, then by the answered one; null without costs."},
            "compared": nullable(compared)
            | {
                "description": "The metric on validation rows that did not set the rule, where the"
                " most probable class is answered and by the rule; null where costs set it."
            },
        }
    )


def _intervals() -> Schema:
    value: Schema = {"type": ["string", "boolean"]}
    measured = obj({"level": NUMBER, "coverage": NUMBER, "size": NUMBER, "rows": WHOLE})
    return obj(
        {
            "kind": TEXT | {"description": "Name of a region in an answer."},
            "rows": WHOLE | {"description": "Validation rows that calibrate regions."},
            "highest": NUMBER | {"description": "Highest level that they support."},
            "scaled": FLAG
            | {"description": "Whether regions are as wide as the ensemble's spread tells."},
            "group": nullable(TEXT),
            "groups": array(obj({"value": value, "rows": WHOLE})),
            "pooled": array(value)
            | {"description": "Groups with too few rows, which all rows calibrate."},
            "measured": array(measured)
            | {"description": "On test rows: the share that holds the truth, and the mean size."},
        }
    )
