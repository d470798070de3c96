"""Reads the body of `/feedback`: rows, their labels, and the names that rows are told apart by."""

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
    from rayml.tasks.task import Label, Task

_KEYS = {"rows", "labels", "ids"}
_LONGEST_ID = 200
_LARGEST_ID = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows, their labels, and their ids; None where no ids were sent."""

    rows: list[Any]
    labels: list[Any]
    ids: list[str] | None


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that a page of any site may send without asking, as a form does.

    Raises:
        RequestError: 415 if the Content-Type is not JSON.
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
    """A name for each row: its id, else its values."""
    if sent.ids is not None:
        return [f"id {each}" for each in sent.ids]
    return ["row " + repr(sorted(_plain(row).items())) for row in parsed]


def _plain(row: Row) -> dict[str, Any]:
    """A row without missing values; equal values are written equally."""
    return {name: _same(value) for name, value in row.items() if value is not None}


def _same(value: Any) -> Any:
    if isinstance(value, datetime):
        return value - _EPOCH
    # Adding nothing makes of a negative zero a plain one.
    return value + 0.0 if isinstance(value, float) else value


def read_feedback(body: bytes) -> Labelled:
    """Read a body; its rows and labels are checked later.

    Raises:
        RequestError: 400 if it is no JSON, 422 if it is no feedback.
    """
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"the body is no JSON ({error})", status=400) from None
    if not isinstance(content, dict) or not {"rows", "labels"} <= set(content) <= _KEYS:
        raise RequestError(
            "the body is no feedback",
            status=422,
            remedy='Send {"rows": [...], "labels": [...]}, with "ids": [...] or without',
        )
    rows, labels, ids = content["rows"], content["labels"], content.get("ids")
    for name, each in {"rows": rows, "labels": labels, "ids": ids}.items():
        if not isinstance(each, list) and not (name == "ids" and each is None):
            raise RequestError(f"{name} is no list", status=422, found=each)
    if len(labels) != len(rows):
        raise _unequal(rows, labels, "labels")
    if ids is not None and len(ids) != len(rows):
        raise _unequal(rows, ids, "ids")
    return Labelled(rows, labels, None if ids is None else _ids(ids))


def _unequal(rows: Sequence[object], others: Sequence[object], what: str) -> RequestError:
    return RequestError(
        f"there are {len(rows)} rows and {len(others)} {what}",
        status=422,
        remedy=f"Send as many {what} as rows",
    )


def _ids(given: Sequence[object]) -> list[str]:
    for row, each in enumerate(given):
        if not _is_id(each):
            raise RequestError(
                f"row {row}: the id is no whole number or text of 1 to {_LONGEST_ID} characters",
                status=422,
                found=each,
                row=row,
            )
    return [f"{each}" for each in given]


def _is_id(given: object) -> bool:
    if isinstance(given, str):
        return 0 < len(given) <= _LONGEST_ID
    return isinstance(given, int) and not isinstance(given, bool) and abs(given) < _LARGEST_ID


def truth(label: object, task: Task, row: int) -> Label:
    """A label as its target has it.

    Raises:
        RequestError: 422 if it is none.
    """
    try:
        return task.read_label(label)
    except ValueError as error:
        raise RequestError(
            f"row {row}: {label!r:.200} is no label; {error}", status=422, row=row
        ) from None
