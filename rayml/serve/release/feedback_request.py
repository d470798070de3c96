"""What comes to `/feedback`: rows, their labels, and what tells a row from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from rayml.errors import RequestError
from rayml.serve.http.messages import JSON

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row
    from rayml.types import ClassLabel, TargetInfo

# Nothing that was measured lies so far away, and squares of it still add up.
FARTHEST = 1e9
_KEYS = {"rows", "labels", "ids"}
_LONGEST_ID = 200
_LARGEST_ID = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What came: rows, their labels, and their ids; no ids where none were given."""

    rows: list[Any]
    labels: list[Any]
    ids: list[str] | None


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a page of any site may send without asking, such as a form.

    Raises:
        RequestError: 415 if the body is not said to be JSON.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != JSON:
        raise RequestError(
            f"feedback came as {kind.decode('latin-1')[:200]!r}, not as JSON"
            if kind
            else "feedback came without a Content-Type",
            status=415,
            remedy="Send it with Content-Type: application/json",
        )


def row_names(sent: Labelled, parsed: Sequence[Row]) -> list[str]:
    """What tells each row from others: its id, else its values."""
    if sent.ids is not None:
        return [f"id {each}" for each in sent.ids]
    return ["row " + repr(sorted(_plain(row).items())) for row in parsed]


def _plain(row: Row) -> dict[str, Any]:
    """A row without what is missing, equal values written equally."""
    return {name: _same(value) for name, value in row.items() if value is not None}


def _same(value: Any) -> Any:
    if isinstance(value, datetime):
        return value - _EPOCH
    # Adding nothing makes of a negative zero a plain one.
    return value + 0.0 if isinstance(value, float) else value


def read_feedback(body: bytes) -> Labelled:
    """Read a body, whose rows and labels are not looked at yet.

    Raises:
        RequestError: 400 if it is no JSON, 422 if it is no feedback.
    """
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"a body is JSON ({error})", status=400) from None
    if not isinstance(content, dict) or not {"rows", "labels"} <= set(content) <= _KEYS:
        raise RequestError(
            'feedback is {"rows": [...], "labels": [...]}, with "ids": [...] or without',
            status=422,
        )
    rows, labels, ids = content["rows"], content["labels"], content.get("ids")
    if not isinstance(rows, list) or not isinstance(labels, list) or len(rows) != len(labels):
        raise RequestError("feedback has a list of rows and as many labels", status=422)
    if ids is not None and (not isinstance(ids, list) or len(ids) != len(rows)):
        raise RequestError("feedback has as many ids as rows, or none", status=422)
    return Labelled(rows, labels, None if ids is None else _ids(ids))


def _ids(given: Sequence[object]) -> list[str]:
    for row, each in enumerate(given):
        if not _is_id(each):
            raise RequestError(
                f"row {row}: an id is a whole number or a text of 1 to {_LONGEST_ID} characters",
                status=422,
                found=each,
                row=row,
            )
    return [f"{each}" for each in given]


def _is_id(given: object) -> bool:
    if isinstance(given, str):
        return 0 < len(given) <= _LONGEST_ID
    return isinstance(given, int) and not isinstance(given, bool) and abs(given) < _LARGEST_ID


def truth(label: object, target: TargetInfo, row: int) -> ClassLabel | float:
    """A label as its target has it.

    Raises:
        RequestError: 422 if it is none.
    """
    if target.task == "regression":
        number = _number(label)
        if number is None or not abs(number - target.mean) <= FARTHEST * target.scale:
            farthest = f"{FARTHEST:.0e} standard deviations from the target's mean"
            raise RequestError(
                f"row {row}: a label is a number at most {farthest}",
                status=422,
                found=label,
                row=row,
            )
        return number
    for known in target.classes:
        if type(known) is type(label) and known == label:
            return known
    raise RequestError(
        f"row {row}: a label is one of {list(target.classes)}", status=422, found=label, row=row
    )


def _number(label: object) -> float | None:
    """A label as a number; None if it is none, or one that a float has no room for."""
    if not isinstance(label, int | float) or isinstance(label, bool):
        return None
    try:
        return float(label)
    except OverflowError:
        return None
