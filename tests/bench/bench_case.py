"""The same weights twice: as a bundle, and as the files that the bare app reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from sklearn.datasets import load_breast_cancer

from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle


def write_case(folder: Path, model: dict[str, Any]) -> tuple[Predictor, pa.Table]:
    """Write both into a folder.

    Returns:
        The predictor of the bundle, and the raw rows of the breast cancer data.
    """
    data = load_breast_cancer(as_frame=True)
    classes = [str(name) for name in data.target_names]
    raw = data.data.assign(target=[classes[code] for code in data.target])
    table = pa.Table.from_pandas(raw, preserve_index=False)
    bundle = untrained_bundle(
        folder / "bundle",
        table,
        target="target",
        task="binary",
        model={"_target_": "rayml.models.nets.mlp.MLP", **model},
    )
    predictor = Predictor.load(bundle)
    scaling = {
        "columns": list(data.data.columns),
        "mean": data.data.mean().tolist(),
        "scale": data.data.std(ddof=0).tolist(),
        "classes": list(predictor.signature.target.classes),
        "model": model,
    }
    (folder / "scaling.json").write_text(json.dumps(scaling))
    shutil.copy(bundle / "weights.safetensors", folder)
    return predictor, table
