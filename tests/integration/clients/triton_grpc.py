"""What Triton's client of gRPC sees of an endpoint; prints it as JSON.

Runs in the clients' environment, without rayml: triton_grpc.py ADDRESS MODEL ROWS
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton


def inputs(rows: list[dict[str, Any]]) -> list[triton.InferInput]:
    alcohol = triton.InferInput("alcohol", [len(rows)], "FP64")
    alcohol.set_data_from_numpy(np.array([row["alcohol"] for row in rows], np.float64))
    colour = triton.InferInput("colour", [len(rows)], "BYTES")
    colour.set_data_from_numpy(np.array([row["colour"] or "" for row in rows], np.object_))
    return [alcohol, colour]


def error(client: triton.InferenceServerClient, model: str, **arguments: Any) -> str:
    try:
        client.infer(model, **arguments)
    except triton.InferenceServerException as caught:
        return str(caught.status())
    return "answered"


def labels(result: triton.InferResult) -> list[str]:
    return [each.decode() for each in result.as_numpy("label")]


def main(address: str, model: str, rows: list[dict[str, Any]]) -> None:
    client = triton.InferenceServerClient(address)
    result = client.infer(model, inputs(rows), request_id="q-1")
    filtered = client.infer(
        model, inputs(rows), outputs=[triton.InferRequestedOutput("probability")]
    )
    answers: queue.Queue[Any] = queue.Queue()
    for _ in range(40):
        client.async_infer(
            model, inputs(rows[:1]), callback=lambda result, error: answers.put((result, error))
        )
    parallel = [answers.get(timeout=60) for _ in range(40)]
    wrong = triton.InferInput("weight", [1], "FP64")
    wrong.set_data_from_numpy(np.zeros(1))
    print(
        json.dumps(
            {
                "live": client.is_server_live(),
                "ready": client.is_server_ready(),
                "model_ready": client.is_model_ready(model),
                "server": client.get_server_metadata(as_json=True),
                "model": client.get_model_metadata(model, as_json=True),
                "id": result.get_response().id,
                "label": labels(result),
                "probability": result.as_numpy("probability").tolist(),
                "filtered": [each.name for each in filtered.get_response().outputs],
                "in_parallel": [
                    str(error) if error else labels(result)[0] for result, error in parallel
                ],
                "errors": {
                    "name": error(client, "crates", inputs=inputs(rows)),
                    "version": error(client, model, inputs=inputs(rows), model_version="9"),
                    "input": error(client, model, inputs=[wrong]),
                    "rows": error(client, model, inputs=inputs(rows[:1] * 1001)),
                },
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
