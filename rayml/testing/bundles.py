"""Bundles for tests and measurements: a real preprocessor, a real model, weights as initialised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from rayml.config.components.build import build
from rayml.config.components.stored_node import StoredNode
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.models.estimators.estimator import Estimator
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.intervals import Intervals
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.registry.promotion import PromotionDecision
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.table import outputs_of
from rayml.types import TaskName

SMALL_MLP = {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "depth": 2}


def untrained_bundle(
    folder: Path,
    table: pa.Table,
    *,
    target: str,
    task: TaskName,
    name: str = "model",
    model: Mapping[str, Any] = SMALL_MLP,
    accuracy: float = 0.5,
    ensemble: int | None = None,
    schema: SchemaSettings | None = None,
    csv: CsvSettings | None = None,
    missing: tuple[str, ...] = (),
    decision: PromotionDecision | None = None,
    intervals: Intervals | None = None,
    temperature: float = 1.0,
    rule: DecisionRule | None = None,
) -> Path:
    """Write a bundle of untrained models.

    Args:
        folder: where to write it; must not exist yet.
        table: rows that the preprocessor is fitted on, in natural types.
        target: the predicted column.
        task: kind of the target.
        name: name of the model.
        model: component node of the model.
        accuracy: value of its metric.
        ensemble: number of members; None writes one model.
        schema: settings of the columns.
        csv: dialect of the CSV files that the rows are from.
        missing: texts that mean a missing value in the rows' source.
        decision: whether to promote it, and why.
        intervals: its calibration scores.
        temperature: of its predictions.
        rule: by which it answers a class.
    """
    found = infer_schema(table, target=target, settings=schema or SchemaSettings(), missing=missing)
    statistics = observe(table, found, task)
    preprocessor = Preprocessor.fit(found, statistics, PreprocessSettings(), task)
    info = BundleInfo(
        name=name,
        model=StoredNode.of(model),
        metric="accuracy",
        direction="maximize",
        metrics={"validation": {"accuracy": accuracy}, "test": {"accuracy": accuracy}},
        ensemble=ensemble,
        decision=decision,
        temperature=temperature,
        decision_rule=rule,
    )
    return write_bundle(
        folder,
        info=info,
        signature=make_signature(preprocessor, csv=csv),
        lineage=_lineage(ensemble),
        preprocessor=preprocessor,
        groups=[_state(_models(model, preprocessor, ensemble or 1))],
        intervals=intervals,
    )


def _models(node: Mapping[str, Any], preprocessor: Preprocessor, count: int) -> list[Any]:
    from rayml.train.loop.randomness import seed_all

    seed_all(0)
    outputs = outputs_of(preprocessor.target)
    return [build(node, shape=preprocessor.shape, outputs=outputs) for _ in range(count)]


def _lineage(ensemble: int | None) -> Lineage:
    return Lineage(
        data_hash="0" * 16,
        source_fingerprint="memory",
        sweep="none",
        trial=0,
        params={},
        seed=0,
        members=tuple(range(ensemble or 0)),
    )


def _state(models: Sequence[Any]) -> GroupState:
    """Models as `write_bundle` takes them."""
    from rayml.models.ensemble import stack_weights

    if isinstance(models[0], Estimator):
        return GroupState(files=[each.save() for each in models])
    states = [each.state_dict() for each in models]
    return GroupState(stack_weights(states) if len(states) > 1 else states[0])
