"""What one would write without rayml: FastAPI, a typed row, NumPy scaling, the same weights.

Run as `python bare_app.py FOLDER PORT`; the folder holds scaling.json and weights.safetensors.
"""

# No `from __future__ import annotations`: FastAPI reads the type of `row` when it is defined.
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import create_model
from safetensors.torch import load_file

from rayml.models.mlp import MLP
from rayml.types import FeatureShape


def make_app(folder: Path) -> FastAPI:
    """Build the app around the weights in a folder."""
    scaling = json.loads((folder / "scaling.json").read_text())
    columns: list[str] = scaling["columns"]
    mean, scale = np.array(scaling["mean"]), np.array(scaling["scale"])
    model = MLP(FeatureShape(len(columns)), 1, **scaling["model"]).eval()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    categorical = torch.zeros((1, 0), dtype=torch.int64)
    fields: dict[str, Any] = {column.replace(" ", "_"): (float, ...) for column in columns}
    row_type = create_model("Row", **fields)
    app = FastAPI()

    @app.post("/predict")
    async def predict(row: row_type) -> dict[str, Any]:  # type: ignore[valid-type]
        raw = np.array([list(row.model_dump().values())])  # type: ignore[attr-defined]
        numeric = torch.from_numpy(((raw - mean) / scale).astype(np.float32))
        with torch.inference_mode():
            positive = model(numeric, categorical).sigmoid().item()
        label = scaling["classes"][int(positive >= 0.5)]
        return {"label": label, "probability": max(positive, 1 - positive)}

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    uvicorn.run(make_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning")
