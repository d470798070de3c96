"""Compares a sweep's winner with a constant answer and the champion, on the same test rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.errors import RaymlError
from rayml.registry.promotion import Champion, Constant, Difference, PromotionDecision, decide
from rayml.stages.winners.winner import Winner, committee_of
from rayml.tasks.decisions.rule import COST
from rayml.tasks.objectives import LOSS
from rayml.train.build import build_trial_task
from rayml.types import Direction

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee
    from rayml.registry.bundle.bundle import Bundle
    from rayml.tasks.task import Measure, Task
    from rayml.types import Examples


@dataclass(frozen=True)
class _Score:
    """A metric, its direction, and whether it takes many resamples at once.

    `decides` says that it depends on the class alone that is answered.
    """

    name: str
    measure: Measure
    direction: Direction
    stacked: bool
    decides: bool


@dataclass(frozen=True)
class _TestRows:
    """The rows that all are measured on.

    Attributes:
        raw: before any preprocessing; None if an older rayml prepared the data without them.
        examples: prepared for the candidate.
        truth: as the metrics take it.
    """

    raw: pa.Table | None
    examples: Examples
    truth: Tensor


def judge(
    winner: Winner,
    data: PreparedDataset,
    champion: tuple[int, Path] | None,
    *,
    models: Committee | None = None,
    force: bool = False,
    trust: Trust = ONLY_OWN,
) -> PromotionDecision:
    """Decide whether a sweep's winner becomes champion.

    Args:
        winner: of the sweep.
        data: that it was trained on.
        champion: its version and the folder of its bundle; None if there is none.
        models: of the winner, as they are served; None makes them.
        force: whether the winner is promoted in any case.
        trust: whose code the champion may name, and whose signature it needs.
    """
    plain = build_trial_task(winner.config["task"], data.preprocessor.target)
    task = plain.deciding(winner.rule)
    rows = _test_rows(data, task)
    models = models or committee_of(winner, data)
    candidate = task.predict(models.pooled(task, rows.examples.features))
    score = _score(task, _judged_by(task))
    constant = _beside_constants(candidate, rows, data, task, score)
    beside = None
    if champion is not None:
        beside = _beside(candidate, rows, data, task, score, *champion, trust)
    return decide(constant, beside, force=force)


def _test_rows(data: PreparedDataset, task: Task) -> _TestRows:
    import torch

    from rayml.types import Examples

    raw, fitted = data.test_rows(), data.preprocessor
    examples = (
        data.examples("test")
        if raw is None
        else Examples(fitted.transform_batch(raw), fitted.encode_target(raw[fitted.target.name]))
    )
    return _TestRows(raw, examples, task.truth(torch.from_numpy(examples.target)))


def _judged_by(task: Task) -> str:
    """The metric of the task; where that is of decisions, the one that a rule decides by."""
    rule = task.rule
    return rule.metric if rule is not None and task.metric in task.decision_metrics else task.metric


def _score(task: Task, name: str) -> _Score:
    """A metric of the task; `loss` is measured by the score that it estimates."""
    chosen = task.proper_metric if name == LOSS else name
    by_cost = chosen == COST and task.rule is not None and task.rule.by_cost
    direction = "minimize" if by_cost else task.directions.get(chosen, task.direction)
    stacked = by_cost or chosen in task.directions
    measure = task.metrics[chosen]
    return _Score(
        chosen,
        measure if stacked else _where_defined(measure),
        direction,
        stacked=stacked,
        decides=by_cost or chosen in task.decision_metrics,
    )


def _where_defined(measure: Measure) -> Measure:
    """A user's metric, undefined on rows that it refuses: a resample may lack a class."""

    def measured(prediction: Tensor, truth: Tensor) -> float:
        try:
            return float(measure(prediction, truth))
        except Exception:  # noqa: BLE001 - the user's code may raise anything
            return math.nan

    return measured


def _beside_constants(
    candidate: Tensor, rows: _TestRows, data: PreparedDataset, task: Task, score: _Score
) -> Constant:
    shares = data.class_shares() if task.has_classes else ()
    profile = data.preprocessor.profile()[task.info.name]
    constants = task.constants(shares, profile, len(rows.truth))
    proper = _score(task, task.proper_metric)
    # What a constant answer is best at says nothing of a model.
    scores = [proper] if score.name in task.blind_metrics else [score, proper]
    found = [_beside_best(candidate, constants, rows.truth, each) for each in scores]
    if found[0] is None:
        return Constant(_undefined(scores[0], rows.truth, candidate))
    differences = [each for each in found if each is not None]
    return Constant(differences, ahead=_ahead(found[0], scores[0].direction, strictly=True))


def _undefined(score: _Score, truth: Tensor, *predictions: Tensor) -> str:
    """Why models cannot be compared by a metric."""
    rows = f"the {len(truth)} test rows"
    if all(math.isfinite(float(score.measure(each, truth))) for each in predictions):
        return f"{rows} are too few: {score.name} is undefined on many resamples of them"
    return f"{score.name} is undefined on {rows}"


def _beside_best(
    candidate: Tensor, constants: Sequence[Tensor], truth: Tensor, score: _Score
) -> Difference | None:
    """The candidate beside the constant answer that is best by a score."""
    values = [float(score.measure(each, truth)) for each in constants]
    sign = 1.0 if score.direction == "maximize" else -1.0
    defined = [at for at, value in enumerate(values) if value == value]  # noqa: PLR0124 - not NaN
    if not defined:
        return None
    best = max(defined, key=lambda at: sign * values[at])
    return _difference(candidate, constants[best], truth, score)


def _difference(one: Tensor, other: Tensor, truth: Tensor, score: _Score) -> Difference | None:
    from rayml.tasks.paired import compare

    found = compare(
        score.measure, score.direction, one.double(), other.double(), truth, stacked=score.stacked
    )
    if found is None:
        return None
    return Difference(score.name, found.one, found.other, found.low, found.high, len(truth))


def _beside(
    candidate: Tensor,
    rows: _TestRows,
    data: PreparedDataset,
    task: Task,
    score: _Score,
    version: int,
    folder: Path,
    trust: Trust,
) -> Champion:
    from rayml.registry.bundle.bundle import load_bundle

    try:
        bundle = load_bundle(folder, trust)
        if reason := _unlike(bundle, data, rows):
            return Champion(version, reason)
        predictions = _predictions_of(bundle, rows, task, score)
    except RaymlError as error:
        return Champion(version, str(error))
    except Exception as error:  # noqa: BLE001 - the module may be a user's, and raise anything
        return Champion(version, f"{type(error).__name__}: {error}")
    found = _difference(candidate, predictions, rows.truth, score)
    if found is None:
        return Champion(version, _undefined(score, rows.truth, candidate, predictions))
    note = "" if bundle.lineage.data_hash == data.hash else "it was trained on other data"
    return Champion(version, found, _ahead(found, score.direction, strictly=False), note)


def _unlike(bundle: Bundle, data: PreparedDataset, rows: _TestRows) -> str:
    """Why a champion cannot predict the same rows; empty if it can."""
    theirs, ours = bundle.signature.target, data.preprocessor.target
    if (theirs.task, theirs.name) != (ours.task, ours.name):
        return f"it predicts {theirs.name!r} ({theirs.task}), not {ours.name!r} ({ours.task})"
    if set(theirs.classes) != set(ours.classes):
        both = [sorted(map(str, each.classes))[:10] for each in (theirs, ours)]
        return f"its classes are {both[0]}, not {both[1]}"
    if rows.raw is None:
        same = bundle.lineage.data_hash == data.hash
        return "" if same else "an older rayml prepared these data, and kept no test rows"
    inputs = [column.name for column in bundle.signature.inputs]
    lacking = [name for name in inputs if name not in rows.raw.column_names]
    return f"it reads columns that these data lack: {', '.join(lacking)}" if lacking else ""


def _predictions_of(bundle: Bundle, rows: _TestRows, task: Task, score: _Score) -> Tensor:
    """A champion's predictions of the rows by its own preprocessing, in our order of classes.

    A metric of decisions sees the classes that the champion answers, by its own rule.
    """
    from rayml.serve.predict.predictor import Predictor

    predictor = Predictor(bundle)
    features = rows.examples.features if rows.raw is None else predictor.features(rows.raw)
    predictions = predictor.outputs(features)
    if score.decides:
        predictions = predictor.task.decided(predictions)
    return task.aligned(predictions, bundle.signature.target.classes)


def _ahead(difference: Difference, direction: Direction, *, strictly: bool) -> bool:
    better = difference.candidate - difference.other
    better = better if direction == "maximize" else -better
    return better > 0 or (better == 0 and not strictly)
