"""Checks the JSON state of a preprocessor before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rayml.errors import DataError
from rayml.tasks.table import KnownTask
from rayml.types import ClassLabel, Kind

_MOST_POINTS = 10_000
"""Reference points of a quantile map; `PreprocessSettings.quantiles` has the same bound."""

Points = Annotated[list[float], Field(max_length=_MOST_POINTS)]


class _Column(TypedDict):
    name: str
    kind: Kind


class _Schema(TypedDict):
    columns: list[_Column]
    target: str
    target_kind: Kind
    groups: list[str]
    carried: list[_Column]
    ignored: list[str]
    sampled: int
    summaries: list[dict[str, Any]]


class _Target(TypedDict):
    name: str
    task: KnownTask
    classes: list[ClassLabel]
    mean: float
    scale: float


class _Affine(TypedDict):
    name: str
    center: float
    scale: float
    fill: float
    limit: float


class _Quantile(TypedDict):
    name: str
    points: Points
    scores: Points


class _Timestamp(TypedDict):
    name: str
    day: _Affine


class _Categorical(TypedDict):
    name: str
    categories: list[str]
    missing: bool


class _State(TypedDict):
    # A later rayml may write further keys.
    schema: _Schema
    target: _Target
    numeric: list[_Quantile | _Affine]
    timestamps: list[_Timestamp]
    categorical: list[_Categorical]
    indicators: list[str]
    knots: NotRequired[list[Points]]


_STATE: TypeAdapter[_State] = TypeAdapter(_State)


def require_state(state: Mapping[str, Any], path: Path) -> None:
    """Check that a state is one that a preprocessor writes.

    Raises:
        DataError: it is not; the message names the first wrong key.
    """
    try:
        found = _STATE.validate_python(state, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _refused(path, f"{place}: {first['msg']}") from error
    for column in found["numeric"]:
        if "points" in column:
            points, scores = column["points"], column["scores"]  # type: ignore[typeddict-item]
            ascend = all(low < high for low, high in pairwise(points))
            if len(points) != len(scores) or not ascend:
                raise _refused(
                    path, f"the points of {column['name']!r} do not ascend to its scores"
                )
    groups = {
        "columns": [column["name"] for column in found["schema"]["columns"]],
        "transforms": [
            each["name"]
            for part in ("numeric", "timestamps", "categorical")
            for each in found[part]
        ],
        "indicators": found["indicators"],
        "classes": [repr(each) for each in found["target"]["classes"]],
    }
    for what, names in groups.items():
        if len(set(names)) != len(names):
            raise _refused(path, f"its {what} repeat")
    if set(groups["transforms"]) != set(groups["columns"]):
        raise _refused(path, "its transforms and its schema have different columns")
    if not set(groups["indicators"]) <= set(groups["columns"]):
        raise _refused(path, "its indicators have columns that its schema lacks")


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"{path.name} of a preprocessor is damaged ({why})",
        found=str(path.parent),
        remedy="Restore the folder from a copy, or prepare the data again",
    )
