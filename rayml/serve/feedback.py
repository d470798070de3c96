"""`/feedback`: rows whose labels are known now, which tell what each version is worth.

The rows come with their labels, so that champion and canary predict the very same ones and their
losses are compared pair by pair; no replica has to remember what it once answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from rayml.errors import RequestError
from rayml.serve.http import Request, Response, json_response

if TYPE_CHECKING:
    from rayml.serve.answer import Answer
    from rayml.serve.release import ReleaseServing
    from rayml.serve.served import ServedModel
    from rayml.types import ClassLabel, TargetInfo

PATH = "/feedback"
# Nothing that was measured lies so far away, and squares of it still add up.
_FARTHEST = 1e9


class Feedback:
    """Answers `POST /feedback` with `{"rows": [...], "labels": [...]}`.

    Args:
        serving: whose versions are measured.
    """

    def __init__(self, serving: ReleaseServing) -> None:
        self._serving = serving

    async def __call__(self, request: Request, _chosen: ServedModel) -> Response:
        """Measure champion and canary on labelled rows.

        Returns:
            The number of rows, and the mean loss of each version on them: 0 or 1 for a class, the
            absolute error in standard deviations of the target for a value.

        Raises:
            RequestError: 400 or 422 if the body is no rows with as many labels.
        """
        plan = self._serving.plan
        champion, trial = plan.champion, plan.trial
        rows, labels = _content(await request.body())
        target = champion.signature.target
        truths = [_truth(label, target, row) for row, label in enumerate(labels)]
        parsed = champion.parser.parse(to_json({"rows": rows}))
        own = _losses(await champion.predict_rows(parsed), truths, target)
        losses = {champion.version: own}
        self._count(champion.version, own)
        if trial is not None:
            beside = trial.model.parser.parse(to_json({"rows": rows}))
            others = _losses(await trial.model.predict_rows(beside), truths, target)
            losses[trial.model.version] = others
            self._count(trial.model.version, others)
            excess = [other - each for other, each in zip(others, own, strict=True)]
            trial.counters[trial.model.version].add(
                paired=len(excess),
                excess=sum(excess),
                excess_squared=sum(each**2 for each in excess),
            )
        means = {version: sum(each) / len(each) for version, each in losses.items()}
        return json_response({"rows": len(rows), "loss": means})

    def _count(self, version: str, losses: Sequence[float]) -> None:
        trial = self._serving.plan.trial
        counters = [self._serving.counters.get(version)]
        counters += [trial.counters.get(version)] if trial else []
        for counter in counters:
            if counter is not None:
                counter.add(
                    labels=len(losses),
                    loss=sum(losses),
                    loss_squared=sum(each**2 for each in losses),
                )


def _content(body: bytes) -> tuple[list[Any], list[Any]]:
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"a body is JSON ({error})", status=400) from None
    if not isinstance(content, dict) or set(content) != {"rows", "labels"}:
        raise RequestError('feedback is {"rows": [...], "labels": [...]}', status=422)
    rows, labels = content["rows"], content["labels"]
    if not isinstance(rows, list) or not isinstance(labels, list) or len(rows) != len(labels):
        raise RequestError("feedback has a list of rows and as many labels", status=422)
    return rows, labels


def _truth(label: object, target: TargetInfo, row: int) -> ClassLabel | float:
    if target.task == "regression":
        number = _number(label)
        if number is None or not abs(number - target.mean) <= _FARTHEST * target.scale:
            farthest = f"{_FARTHEST:.0e} standard deviations from the target's mean"
            raise RequestError(
                f"row {row}: a label is a number at most {farthest}",
                status=422,
                value=label,
                row=row,
            )
        return number
    for known in target.classes:
        if type(known) is type(label) and known == label:
            return known
    raise RequestError(
        f"row {row}: a label is one of {list(target.classes)}", status=422, value=label, row=row
    )


def _number(label: object) -> float | None:
    """A label as a number; None if it is none, or one that a float has no room for."""
    if not isinstance(label, int | float) or isinstance(label, bool):
        return None
    try:
        return float(label)
    except OverflowError:
        return None


def _losses(
    answers: Sequence[Answer], truths: Sequence[ClassLabel | float], target: TargetInfo
) -> list[float]:
    pairs = zip(answers, truths, strict=True)
    if target.task == "regression":
        # What a model predicts is finite, but its square may not be.
        return [
            min(abs(answer["value"] - truth) / target.scale, _FARTHEST) for answer, truth in pairs
        ]
    return [float(answer["label"] != truth) for answer, truth in pairs]
