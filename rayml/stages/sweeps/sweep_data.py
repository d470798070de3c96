"""Finds the prepared dataset of a sweep, and prepares it again if it was removed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray

from rayml.data.prepare.prepare import PreparedDataset, open_prepared
from rayml.data.prepare.prepared import MANIFEST
from rayml.errors import DataError
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep
from rayml.stages.context import Context
from rayml.stages.prepare import prepare_config
from rayml.storage.disk import write

_FILE = "data.json"


def write_data(sweep: Path, data: PreparedDataset) -> None:
    """Record in a sweep's folder which data its trials train on.

    Raises:
        StorageError: the disk is full or read-only.
    """
    advice = [each.text for each in data.advice()]
    record = {"path": str(data.path.resolve()), "is": _identity(data), "advice": advice}
    write(sweep / _FILE, json.dumps(record, indent=1) + "\n")


def data_of_sweep(context: Context, sweep: Path) -> PreparedDataset:
    """The prepared dataset that a sweep's trials train on.

    If it is no longer in the store, it is prepared again by the sweep's own config, which starts
    a local Ray if none runs.

    Raises:
        DataError: it is damaged, or cannot be prepared again because the source has changed or
            an older rayml prepared it by other rules.
    """
    record = json.loads((sweep / _FILE).read_bytes())
    path = Path(record["path"])
    if (path / MANIFEST).is_file():
        return open_prepared(path)
    show.line(f"the prepared data of {sweep.name} are gone from {path}; preparing them again")
    with nullcontext() if ray.is_initialized() else context.cluster():
        data = prepare_config(
            context, config_of_sweep(sweep).trusted(context.trust).typed().data, store=path.parent
        )
    if reason := _why_others(record, data, path):
        raise DataError(
            f"the data of sweep {sweep.name} cannot be prepared again as its trials had them:"
            f" {reason}",
            remedy=f"Restore the source or {path}, or start another sweep with"
            f" search.warm_start=[{sweep.name}]",
        )
    write_data(sweep, data)
    return data


def _why_others(record: Mapping[str, Any], data: PreparedDataset, path: Path) -> str:
    """Why data that were prepared again differ from a sweep's; empty if they are the same."""
    rules = "an older rayml chose features and splits by other rules"
    if "is" not in record:  # of an older rayml
        return "" if data.hash == path.name else f"the source has changed, or {rules}"
    if _identity(data) == record["is"]:
        return ""
    return "the source has changed" if record["is"]["source"] != data.source else rules


def _identity(data: PreparedDataset) -> dict[str, Any]:
    """Source, rows and shape, which must be the same for all trials of a sweep."""
    shape = dataclasses.asdict(data.preprocessor.shape)
    # Older records lack them, and the same source and rows give the same ones.
    del shape["knots"], shape["missing"]
    # JSON makes lists of tuples, as the stored record has them.
    found: dict[str, Any] = json.loads(
        json.dumps({"source": data.source, "rows": data.rows, "shape": shape})
    )
    return found
