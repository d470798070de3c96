"""Checks the JSON state of a preprocessor before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rayml.data.text.spec import MOST_TOKENS, MOST_WIDTH, Width
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


Vector = Annotated[list[FiniteFloat], Field(max_length=MOST_WIDTH)]


class _Text(TypedDict):
    name: str
    encoder: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: Width
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    center: Vector | None
    directions: list[Vector] | None
    numbers: list[_Quantile | _Affine]


class _State(TypedDict):
    # A later rayml may write further keys.
    schema: _Schema
    target: _Target
    numeric: list[_Quantile | _Affine]
    timestamps: list[_Timestamp]
    categorical: list[_Categorical]
    indicators: list[str]
    texts: NotRequired[list[_Text]]
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
    texts = found.get("texts", [])
    for text in texts:
        _require_text(text, path)
    for column in (*found["numeric"], *(number for text in texts for number in text["numbers"])):
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
            for part in ("numeric", "timestamps", "categorical", "texts")
            for each in state.get(part, [])
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


def _require_text(text: _Text, path: Path) -> None:
    """Check that the numbers of a text are as many as its transforms."""
    directions, center = text["directions"], text["center"]
    if directions is None or center is None:
        count, sizes = text["width"], [text["width"]]
        whole = directions is None and center is None
    else:
        count, whole = len(directions), True
        sizes = [len(center), *map(len, directions)]
    if not (whole and count and set(sizes) == {text["width"]} and len(text["numbers"]) == count):
        raise _refused(path, f"the sizes of the texts {text['name']!r} do not go together")


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"{path.name} of a preprocessor is damaged ({why})",
        found=str(path.parent),
        remedy="Restore the folder from a copy, or prepare the data again",
    )
