"""The description of a served version, at `/metadata`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rayml.registry.bundle.published import published
from rayml.serve.predict.predictor import Predictor


def metadata(predictor: Predictor, version: str) -> dict[str, Any]:
    """Describe a version: its columns, metrics, digest and lineage."""
    bundle = predictor.bundle
    info, shown = bundle.info, published(bundle.signature)
    return {
        "name": info.name,
        "version": version,
        "created": info.created,
        "rayml": info.rayml,
        "digest": bundle.digest,
        "target": asdict(bundle.signature.target),
        "inputs": [asdict(column) for column in shown.inputs],
        "metric": info.metric,
        "metrics": info.metrics,
        "ensemble": info.ensemble,
        "temperature": info.temperature,
        "decision_rule": info.decision_rule and asdict(info.decision_rule),
        "confirmed": info.confirmed and asdict(info.confirmed),
        "intervals": predictor.regions.described(),
        "lineage": asdict(bundle.lineage),
    }
