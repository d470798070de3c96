"""Prepares the config's dataset and shows what it is, or finds that of a sweep."""

from __future__ import annotations

import json
from pathlib import Path

from rayml.config.build import build
from rayml.data.prepare import PreparedDataset, open_prepared, prepare
from rayml.disk import write
from rayml.stages import show
from rayml.stages.context import Context

_DATA = "data.json"


def prepare_data(context: Context) -> PreparedDataset:
    """Prepare the dataset, or find it in the store."""
    config, data = context.config, context.config.data
    with context.watch.stage("prepare"):
        prepared = prepare(
            build(data.source),
            store=Path(config.paths.prepared),
            target=data.target,
            task=data.task,
            positive=data.positive,
            schema=data.schema,
            split=data.split,
            preprocess=data.preprocess,
            bad_rows=data.bad_rows,
            on_progress=show.line,
        )
    show.prepared(prepared)
    return prepared


def write_data(sweep: Path, data: PreparedDataset) -> None:
    """Note in a sweep's folder where its data are."""
    write(sweep / _DATA, json.dumps({"path": str(data.path.resolve())}))


def data_of_sweep(sweep: Path) -> PreparedDataset:
    """The prepared dataset that a sweep's trials trained on.

    Raises:
        DataError: it is no longer in the store.
    """
    return open_prepared(Path(json.loads((sweep / _DATA).read_bytes())["path"]))


def data_of(sweep: Path) -> PreparedDataset:
    """The same, shown."""
    data = data_of_sweep(sweep)
    show.prepared(data)
    return data
