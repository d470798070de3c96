"""LitServe as its documentation has it, with batching on: `python litserve_app.py FOLDER PORT`.

Rows are taken as they come, without a check of their types, which spares it some work.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve as ls
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from scorer import Scorer


class Api(ls.LitAPI):  # type: ignore[misc]
    """Answers rows of JSON."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder

    def setup(self, device: str) -> None:
        self._scorer = Scorer(self._folder)

    def decode_request(self, request: dict[str, float]) -> np.ndarray[Any, Any]:
        return np.array([request[column] for column in self._scorer.columns])

    def batch(self, inputs: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        return np.stack(inputs)

    def predict(self, x: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
        return self._scorer(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    api = Api(Path(sys.argv[1]), max_batch_size=64, batch_timeout=0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="warning",
        generate_client_file=False,
        num_api_servers=1,
    )
