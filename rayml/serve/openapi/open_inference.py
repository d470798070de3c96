"""The Open Inference Protocol in the OpenAPI document.

The signature types what the protocol leaves to a model: the names of its tensors, and the
datatypes that each takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.openapi.rows import INTERVAL
from rayml.serve.openapi.schema import (
    BINARY,
    FLAG,
    TEXT,
    WHOLE,
    Operation,
    Schema,
    array,
    enum,
    example,
    get,
    json_content,
    obj,
    post,
    ref,
)
from rayml.serve.predict.regions import PARAMETER
from rayml.serve.tensors.infer_request import LENGTH_HEADER
from rayml.serve.tensors.input_tensors import MATRIX
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.serve.tensors.tensors import DATATYPES
from rayml.types import Kind

_MODEL = "/v2/models/{name}"
_ABSENT = {"404": "Another model or version is asked for than those that are served."}
_LENGTH_NAME = LENGTH_HEADER.decode().title()
_OCTETS = {
    "application/octet-stream": {
        "schema": BINARY
        | {
            "description": "JSON as above, whose tensors may have `binary_data_size` in place of"
            f" `data`, and their bytes behind it; `{_LENGTH_NAME}` is the length of the JSON."
        }
    }
}
_PARAMETERS: Schema = {"type": "object", "additionalProperties": True}
_SIZE: Schema = {"type": "integer", "minimum": 0}
_SHAPE = array(_SIZE, minItems=1, maxItems=8)

# The groups of datatypes that a column takes, as `rayml.serve.tensors.input_tensors` reads them.
_TAKEN: dict[Kind, tuple[str, ...]] = {
    "numeric": ("FP", "INT", "UINT"),
    "categorical": ("BYTES", "INT", "UINT", "FP"),
    "boolean": ("BOOL", "FP", "INT", "UINT"),
    "timestamp": ("BYTES",),
    "text": ("BYTES",),
}


def open_inference(
    signature: Signature, outputs: OutputTensors, *, name: str, version: str
) -> list[Operation]:
    """Describe the paths under `/v2`.

    Args:
        signature: of the bundle.
        outputs: of the model.
        name: of the model.
        version: of the model, as an example.
    """
    server, live, ready = (json_content(ref(each)) for each in ("Server", "Live", "Ready"))
    called = _in_path("name", enum([name]), "Name of the model.")
    numbered = _in_path(
        "version",
        TEXT | {"examples": [version]},
        "One of the model's `versions`. It answers by itself, whatever its share of other"
        " requests is.",
    )
    return [
        get("/v2", "server_metadata", "What the server is", server),
        get("/v2/health/live", "server_live", "Whether the process answers", live, access="open"),
        get("/v2/health/ready", "server_ready", "Whether the models predict", ready, access="open"),
        *_model(_MODEL, "model", [called], signature, outputs),
        *_model(
            f"{_MODEL}/versions/{{version}}", "version", [called, numbered], signature, outputs
        ),
    ]


def _model(
    path: str, what: str, place: list[Schema], signature: Signature, outputs: OutputTensors
) -> list[Operation]:
    """The paths of a model, or of one of its versions."""
    metadata, ready = json_content(ref("Model")), json_content(ref("ModelReady"))
    length = {"in": "header", "name": _LENGTH_NAME, "schema": _SIZE}
    request = {"inputs": [_example(column) for column in signature.inputs]}
    few = {**request, "id": "42", "outputs": [{"name": outputs.names[0]}]}
    examples = {"all": example("all outputs", request), "few": example("one output", few)}
    answer = {
        "description": "The outputs that are asked for; binary ones where they are asked for.",
        "headers": {_LENGTH_NAME: {"schema": _SIZE}},
        "content": {**json_content(ref("InferResponse")), **_OCTETS},
    }
    return [
        get(
            path,
            f"{what}_metadata",
            f"Which tensors a {what} takes and gives",
            metadata,
            errors=_ABSENT,
            parameters=place,
        ),
        get(
            f"{path}/ready",
            f"{what}_ready",
            f"Whether a {what} predicts",
            ready,
            errors=_ABSENT,
            parameters=place,
        ),
        post(
            f"{path}/infer",
            f"{what}_infer",
            f"Predict from tensors, by a {what}",
            {**json_content(ref("InferRequest"), examples), **_OCTETS},
            answer,
            errors=_ABSENT | {"400": "The request does not fit the protocol or the model."},
            parameters=[*place, length],
        ),
    ]


def open_inference_schemas(signature: Signature, outputs: OutputTensors) -> Schema:
    """Requests and answers under `/v2`."""
    output = obj(
        {
            "name": enum(outputs.offered),
            "datatype": enum(["FP64", "BYTES", "BOOL"]),
            "shape": _SHAPE,
        },
        {"data": ref("TensorData"), "parameters": _binary("binary_data_size", _SIZE)},
    )
    wanted = obj({"name": enum(outputs.offered)}, {"parameters": _binary("binary_data", FLAG)})
    described = obj({"name": TEXT, "datatype": enum(DATATYPES), "shape": array(WHOLE)})
    return {
        "Server": obj({"name": TEXT, "version": TEXT, "extensions": array(TEXT)}),
        "Live": obj({"live": FLAG}),
        "Ready": obj({"ready": FLAG}),
        "ModelReady": obj({"name": TEXT, "ready": FLAG}),
        "Model": obj(
            {
                "name": TEXT,
                "versions": array(TEXT, minItems=1)
                | {"description": "That are ready and may be asked for by their paths."},
                "platform": TEXT,
                "inputs": array(ref("TensorMetadata")),
                "outputs": array(ref("TensorMetadata")),
                "properties": {"type": "object", "additionalProperties": TEXT},
            }
        ),
        "TensorMetadata": described,
        "InferRequest": obj(
            {"inputs": array({"anyOf": _inputs(signature)}, minItems=1)},
            {
                "id": TEXT,
                "outputs": array(wanted),
                "parameters": _PARAMETERS
                | {"properties": {"binary_data_output": FLAG, PARAMETER: INTERVAL["schema"]}},
            },
        ),
        "TensorData": {
            "type": "array",
            "description": "Elements, flat or nested as the shape is; a missing one is null.",
            "items": {
                "anyOf": [
                    {"type": ["number", "string", "boolean", "null"]},
                    ref("TensorData"),
                ]
            },
        },
        "InferResponse": obj(
            {"model_name": TEXT, "model_version": TEXT, "outputs": array(output)}, {"id": TEXT}
        ),
    }


def _inputs(signature: Signature) -> list[Schema]:
    """An input of each kind that there is, and the matrix of a model that takes one."""
    kinds: dict[Kind, list[str]] = {}
    for column in signature.inputs:
        kinds.setdefault(column.kind, []).append(column.name)
    inputs = [_input(names, _datatypes(kind)) for kind, names in kinds.items()]
    if set(kinds) == {"numeric"} and MATRIX not in kinds["numeric"]:
        inputs.append(_input([MATRIX], ["FP64", "FP32"]))
    return inputs


def _input(names: Sequence[str], datatypes: Sequence[str]) -> Schema:
    return obj(
        {"name": enum(names), "datatype": enum(datatypes), "shape": _SHAPE},
        {"data": ref("TensorData"), "parameters": _binary("binary_data_size", _SIZE)},
        # The bytes of a tensor are either in the JSON or behind it.
        oneOf=[
            {"required": ["data"]},
            {
                "required": ["parameters"],
                "properties": {"parameters": {"required": ["binary_data_size"]}},
            },
        ],
    )


def _datatypes(kind: Kind) -> list[str]:
    return [each for each in DATATYPES if each.rstrip("0123456789") in _TAKEN[kind]]


def _binary(name: str, schema: Schema) -> Schema:
    """Parameters, of which one is of the binary tensor data extension."""
    return _PARAMETERS | {"properties": {name: schema}}


def _in_path(name: str, schema: Schema, description: str) -> Schema:
    return {
        "in": "path",
        "name": name,
        "required": True,
        "description": description,
        "schema": schema,
    }


def _example(column: InputColumn) -> Schema:
    datatype = {"numeric": "FP64", "boolean": "BOOL"}.get(column.kind, "BYTES")
    missing = False if column.kind == "boolean" else None
    value = missing if column.example is None else column.example
    return {"name": column.name, "datatype": datatype, "shape": [1], "data": [value]}
