"""What one would write without rayml: FastAPI, a typed row, NumPy scaling, the same weights.

Run as `python bare_app.py FOLDER PORT`; for the folder see `peers/scorer.py`.
"""

# No `from __future__ import annotations`: FastAPI reads the type of `row` when it is defined.
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from peers.scorer import Scorer
from pydantic import create_model


def make_app(folder: Path) -> FastAPI:
    """Build the app around the weights in a folder."""
    scorer = Scorer(folder)
    fields: dict[str, Any] = {column.replace(" ", "_"): (float, ...) for column in scorer.columns}
    row_type = create_model("Row", **fields)
    app = FastAPI()

    @app.post("/predict")
    async def predict(row: row_type) -> dict[str, Any]:  # type: ignore[valid-type]
        (answer,) = scorer(np.array([list(row.model_dump().values())]))  # type: ignore[attr-defined]
        return answer

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning")
