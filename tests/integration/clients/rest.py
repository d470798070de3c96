"""Asks an endpoint by tritonclient and by kserve's client, unchanged; prints JSON.

Runs in an environment of its own: `python rest.py URL`.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

SIZES = np.array([1.5, np.nan, -2.0] * 100)
COLOURS = np.array(["red", "", "violet"] * 100, dtype=np.object_)


def by_triton(url: str) -> dict[str, Any]:
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    seen: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready("boxes", "7"),
        "other ready": client.is_model_ready("bags"),
        "server": client.get_server_metadata()["extensions"],
        "model": client.get_model_metadata("boxes")["versions"],
        "answers": {},
    }
    for binary in (True, False):
        inputs = [
            triton.InferInput("size", [300], "FP64"),
            triton.InferInput("colour", [300, 1], "BYTES"),
        ]
        inputs[0].set_data_from_numpy(SIZES, binary_data=binary)
        inputs[1].set_data_from_numpy(COLOURS.reshape(300, 1), binary_data=binary)
        outputs = [
            triton.InferRequestedOutput("probability", binary_data=binary),
            triton.InferRequestedOutput("label", binary_data=not binary),
        ]
        for packed in (None, "gzip", "deflate"):
            for wanted in (None, outputs):
                result = client.infer(
                    "boxes",
                    inputs,
                    request_id="42",
                    outputs=wanted,
                    request_compression_algorithm=packed,
                    response_compression_algorithm=packed,
                )
                assert result.get_response()["id"] == "42"
                seen["answers"][f"{binary} {packed} {wanted is None}"] = [
                    result.as_numpy("probability").tolist(),
                    [_text(label) for label in result.as_numpy("label")],
                ]
    try:
        client.infer("boxes", inputs, outputs=[triton.InferRequestedOutput("spread")])
    except InferenceServerException as error:
        seen["error"] = [error.status(), error.message()]
    return seen


def _text(label: str | bytes) -> str:
    return label if isinstance(label, str) else label.decode()


async def by_kserve(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    seen: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "boxes"),
        "answers": {},
    }
    for binary in (True, False):
        size = InferInput("size", [300], "FP64")
        size.set_data_from_numpy(np.nan_to_num(SIZES), binary_data=binary)
        colour = InferInput("colour", [300], "BYTES")
        colour.set_data_from_numpy(COLOURS, binary_data=binary)
        request = InferRequest("boxes", [size, colour], request_id="42")
        response = await client.infer(url, request, model_name="boxes")
        assert response.id == "42"
        outputs = {output.name: output.as_numpy() for output in response.outputs}
        seen["answers"][f"{binary}"] = outputs["probability"].tolist()
    return seen


if __name__ == "__main__":
    url = sys.argv[1]
    print(json.dumps({"triton": by_triton(url), "kserve": asyncio.run(by_kserve(url))}))
