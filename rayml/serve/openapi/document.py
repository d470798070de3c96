"""The OpenAPI 3.1 document of an endpoint, typed by its bundle's signature."""

from __future__ import annotations

from rayml.registry.bundle.signature import Signature
from rayml.serve.openapi.explain import explain, explain_schemas
from rayml.serve.openapi.feedback import feedback, feedback_schemas
from rayml.serve.openapi.open_inference import open_inference, open_inference_schemas
from rayml.serve.openapi.pages import page_schemas, pages
from rayml.serve.openapi.rows import predict, row_schemas
from rayml.serve.openapi.schema import Operation, Schema, access_refusals
from rayml.serve.predict.answer import RegionGroups
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.settings.serve import ServeSettings

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}


def openapi(
    name: str,
    version: str,
    signature: Signature,
    *,
    settings: ServeSettings,
    ensemble: int | None = None,
    regions: RegionGroups | None = None,
    measured: bool = False,
) -> Schema:
    """Describe an endpoint.

    Args:
        name: of the model.
        version: of the model.
        signature: of its bundle.
        settings: limits, and whether keys are required.
        ensemble: models whose mean is answered; None where one model answers.
        regions: how rows are grouped for regions; None where the bundle gives none.
        measured: whether `/feedback` is answered, as by an endpoint that follows a release.
    """
    models = f" It is the mean of {ensemble} models." if ensemble else ""
    outputs = OutputTensors(
        signature.target,
        ensemble=ensemble is not None,
        warnings=settings.unknown != "ignore",
        regions=regions,
    )
    operations = [
        predict(signature, regions=regions is not None),
        explain(signature),
        *([feedback(signature)] if measured else []),
        *open_inference(signature, outputs, name=name, version=version),
        *pages(),
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": f"Predicts `{signature.target.name}` ({signature.target.task}).{models}",
        },
        "paths": _paths(operations, settings),
        "components": {
            "schemas": {
                **row_schemas(
                    signature, settings.max_rows, ensemble=ensemble is not None, regions=regions
                ),
                **explain_schemas(signature, settings.max_explain_rows),
                **(feedback_schemas(signature.target, settings.max_rows) if measured else {}),
                **open_inference_schemas(signature, outputs),
                **page_schemas(),
            },
            **({"securitySchemes": _KEYS} if settings.keys.given else {}),
        },
    }


def _paths(operations: list[Operation], settings: ServeSettings) -> Schema:
    paths: Schema = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _guarded(each, settings)
    return paths


def _guarded(operation: Operation, settings: ServeSettings) -> Schema:
    """An operation with what its key, and the rate of requests, have to do with it."""
    if operation.access == "open":
        return operation.content
    statuses = ["401", "403"] if settings.keys.given else []
    statuses += ["429"] if settings.rate is not None else []
    responses = operation.content["responses"] | access_refusals(*statuses)
    security: Schema = {"security": [{each: []} for each in _KEYS]} if settings.keys.given else {}
    return operation.content | security | {"responses": dict(sorted(responses.items()))}
