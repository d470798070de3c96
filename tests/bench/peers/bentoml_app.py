"""BentoML as its documentation has it, with batching on: `python bentoml_app.py FOLDER PORT`."""

# No `from __future__ import annotations`: BentoML reads the types of the API when it is defined.
import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from scorer import Scorer

FOLDER = "RAYML_BENCH_FOLDER"


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Model:
    """Answers rows of JSON."""

    def __init__(self) -> None:
        self._scorer = Scorer(Path(os.environ[FOLDER]))

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: list[dict[str, float]]) -> list[dict[str, Any]]:
        columns = self._scorer.columns
        return self._scorer(np.array([[row[column] for column in columns] for row in rows]))


if __name__ == "__main__":
    os.environ[FOLDER] = sys.argv[1]
    os.environ["BENTOML_DO_NOT_TRACK"] = "1"
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_app:Model"]
    options = ["--host", "127.0.0.1", "--port", sys.argv[2]]
    os.chdir(Path(__file__).parent)
    os.execv(sys.executable, [*command, *options])
