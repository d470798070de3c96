"""The description of a model in the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rayml.serve.predict.odd_values import WARNINGS
from rayml.serve.predict.regions import PARAMETER
from rayml.serve.tensors.input_tensors import MATRIX, InputTensors
from rayml.serve.tensors.output_tensors import OutputTensors

PLATFORM = "rayml_bundle"
"""The platform of a served model, `<project>_<format>` in the protocol."""


def model_metadata(
    name: str, versions: Sequence[str], inputs: InputTensors, outputs: OutputTensors
) -> dict[str, Any]:
    """The protocol's description of a model.

    Its `properties`, which are strings, add: that the columns may come as one matrix, the order of
    the classes, and the outputs that only a request that asks for them gets.
    """
    properties = {
        "matrix": f"A single input {MATRIX!r} of FP64 or FP32, shape [n, columns], may stand for"
        " all inputs, in their order"
        if inputs.has_matrix
        else None,
        "classes": json.dumps(outputs.classes) if outputs.classes else None,
        "warnings": f"An output {WARNINGS!r} of BYTES, shape [n], is given where it is asked for:"
        " of each row an object of JSON, by column what is unlike the training data"
        if outputs.warns
        else None,
        "interval": f"A request with the parameter {PARAMETER!r}, a probability such as 0.9, also"
        f" gets the outputs {json.dumps(outputs.region_metadata())}, which hold the truth with it"
        if outputs.regions
        else None,
    }
    return {
        "name": name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": inputs.metadata(),
        "outputs": outputs.metadata(),
        "properties": {key: value for key, value in properties.items() if value is not None},
    }
