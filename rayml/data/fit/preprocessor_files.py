"""Reads and writes the files of a preprocessor: its state and its profile, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayml.data.fit.preprocessor_state import require_state
from rayml.errors import DataError
from rayml.storage.bounded import TooLargeError

FORMAT = 1
_STATE = "preprocessor.json"
_PROFILE = "profile.json"
_MOST_BYTES = 64 << 20


def write_state(folder: Path, state: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
    """Write state and profile to a folder, which is made.

    Raises:
        DataError: one of them takes more bytes than may be read again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _STATE, {"format": FORMAT, **state})
    _write(folder / _PROFILE, profile)


def read_state(
    folder: Path, read: Callable[[Path, int], bytes]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the state and the profile that `write_state` wrote.

    Args:
        folder: that they were written to.
        read: gives the content of a file of so many bytes at most.

    Raises:
        DataError: a file is absent or torn, or a newer rayml wrote it.
        RaymlError: `read` raises it.
    """
    state = _read(folder / _STATE, read)
    if state.get("format") != FORMAT:
        raise DataError(
            f"{folder / _STATE} has the format {state.get('format')}, and this rayml reads format"
            f" {FORMAT}",
            remedy="Install the rayml that wrote it",
        )
    require_state(state, folder / _STATE)
    return state, _read(folder / _PROFILE, read)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    if len(text) > _MOST_BYTES:  # it is ASCII
        raise DataError(
            f"{path.name} of a preprocessor would take {len(text):,} bytes, more than"
            f" {_MOST_BYTES:,}",
            remedy="Lower data.preprocess.max_categories or quantiles, or ignore columns",
        )
    path.write_text(text, encoding="utf-8")


def _read(path: Path, read: Callable[[Path, int], bytes]) -> dict[str, Any]:
    try:
        value = json.loads(read(path, _MOST_BYTES))
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004
    except (OSError, TooLargeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path.name} of a preprocessor cannot be read ({error})",
            found=str(path.parent),
            remedy="Restore the folder from a copy, or prepare the data again",
        ) from error
    return value
