"""The weights and the preprocessing that every peer of `serve_bench.py` has, and nothing of theirs.

The folder holds scaling.json and weights.safetensors, see `bench_case.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape


class Scorer:
    """From raw rows to answers."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        scaling = json.loads((folder / "scaling.json").read_text())
        self.columns: list[str] = scaling["columns"]
        self.classes: list[str] = scaling["classes"]
        self._mean, self._scale = np.array(scaling["mean"]), np.array(scaling["scale"])
        self._model = MLP(FeatureShape(len(self.columns)), 1, **scaling["model"]).eval()
        self._model.load_state_dict(load_file(folder / "weights.safetensors"))

    def __call__(self, raw: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
        """Answer rows of raw numbers, in the order of `columns`."""
        numeric = torch.from_numpy(((raw - self._mean) / self._scale).astype(np.float32))
        categorical = torch.zeros((len(raw), 0), dtype=torch.int64)
        with torch.inference_mode():
            shares = self._model(numeric, categorical).sigmoid().flatten().tolist()
        return [
            {"label": self.classes[int(share >= 0.5)], "probability": max(share, 1 - share)}
            for share in shares
        ]
