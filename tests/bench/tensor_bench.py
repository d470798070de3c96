"""Rows a second of 1,000-row requests, as binary tensors and the same rows as JSON.

The model has the size of one for the Adult census: 8 categories, 6 numbers, an MLP of 2 layers of
64 units. The load comes from a process of its own over keep-alive connections, and every answer is
checked against the model itself. Both forms are sent in turns to one endpoint; the last line is
their ratio.

    python tests/bench/tensor_bench.py [--seconds 4] [--rounds 3] [--connections 2]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from servers import server
from tensor_case import binary_request, make_table, tensors_of, write_bundle

from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.tensors import tensor_from_bytes

HERE = Path(__file__).parent
ROWS, REQUESTS = 1000, 4


def make_jobs(folder: Path, predictor: Predictor, options: argparse.Namespace) -> dict[str, Any]:
    """Jobs for `http_load.py` by their names, and the probabilities that each body must get."""
    columns = [column.name for column in predictor.signature.inputs]
    files, bodies, expected = [], [], []
    for number in range(REQUESTS):
        table = make_table(ROWS, seed=number + 1).select(columns)
        body, length = binary_request(tensors_of(table))
        files.append(folder / f"body{number}")
        files[-1].write_bytes(body)
        bodies.append(json.dumps({"rows": table.to_pylist()}))
        expected.append([answer["probability"] for answer in predictor.predict(table)])
    shared = {"connections": options.connections}
    headers = (
        f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {length}\r\n"
    )
    return {
        "expected": expected,
        "binary tensors": shared
        | {
            "path": "/v2/models/model/infer",
            "files": [str(file) for file in files],
            "headers": headers,
        },
        "JSON rows": shared | {"path": "/predict", "bodies": bodies},
    }


def probabilities(text: str) -> list[float]:
    """Those in an answer of either form."""
    if text.startswith('{"predictions"'):
        return [answer["probability"] for answer in json.loads(text)["predictions"]]
    body = text.encode("latin-1")
    decoder = json.JSONDecoder()
    head, at = decoder.raw_decode(text)
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "probability":
            tensor = tensor_from_bytes("p", output["datatype"], output["shape"], body[at:][:size])
            return tensor.to_list()
        at += size
    raise SystemExit(f"no probability in {head}")


def measure(port: int, job: dict[str, Any], seconds: float, folder: Path) -> dict[str, Any]:
    """Load the endpoint and give what the client saw."""
    file = folder / "job.json"
    file.write_text(json.dumps(job | {"port": port, "seconds": seconds}))
    client = [sys.executable, str(HERE / "http_load.py"), str(file)]
    seen: dict[str, Any] = json.loads(
        subprocess.run(client, check=True, capture_output=True).stdout
    )
    if seen["failed"]:
        raise SystemExit(f"{seen['failed']} of {seen['requests']} failed: {seen['answers']['0']}")
    return seen


def check(seen: dict[str, Any], expected: list[list[float]]) -> None:
    """Stop if an answer is wrong."""
    for index, texts in seen["answers"].items():
        for text in texts:
            np.testing.assert_allclose(probabilities(text), expected[int(index)], atol=1e-5)


def main() -> None:
    """Run both forms in turns and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--ingress", default="haproxy")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    runs: dict[str, list[dict[str, Any]]] = {"binary tensors": [], "JSON rows": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jobs = make_jobs(folder, write_bundle(folder / "bundle"), options)
        app = [str(HERE / "endpoint_app.py"), str(folder / "bundle"), options.ingress]
        with server(*app) as port:
            for name in runs:
                measure(port, jobs[name], 1, folder)
            for _ in range(options.rounds):
                for name, seen in runs.items():
                    seen.append(measure(port, jobs[name], options.seconds, folder))
                    check(seen[-1], jobs["expected"])
    report(runs, options.connections)


def report(runs: dict[str, list[dict[str, Any]]], connections: int) -> None:
    """Print the medians of all rounds, and their ratio."""
    print(f"{ROWS} rows a request, {connections} connections, every answer checked")
    print(f"{'':16} {'rows/s':>9} {'p99 ms':>7}")
    rates = {name: ROWS * median(seen["rate"] for seen in each) for name, each in runs.items()}
    for name, each in runs.items():
        print(f"{name:16} {rates[name]:9,.0f} {median(seen['p99_ms'] for seen in each):7.1f}")
    print(f"ratio {rates['binary tensors'] / rates['JSON rows']:.1f}")


if __name__ == "__main__":
    main()
