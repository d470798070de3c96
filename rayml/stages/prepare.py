"""Prepares the config's dataset and shows its schema and sizes."""

from __future__ import annotations

from pathlib import Path

from rayml.config.components.build import build
from rayml.config.schema import DataConfig
from rayml.data.fit.group_column import GroupColumn
from rayml.data.prepare.prepare import PreparedDataset, prepare
from rayml.stages.commands import show
from rayml.stages.context import Context
from rayml.stages.winners.decide import require_decidable


def prepare_data(context: Context, *, again: bool = False) -> PreparedDataset:
    """Prepare the dataset of the config, or find it in the store.

    Args:
        context: of the command.
        again: whether the schema and the advice have been shown.

    Raises:
        DataError: its rows cannot be grouped by `confirm.intervals.group`.
        ConfigError: its target cannot be decided by `confirm.decide`.
    """
    config = context.config
    store = Path(config.paths.prepared)
    prepared = prepare_config(context, config.data, store=store, again=again)
    if (group := config.confirm.intervals.group) is not None:
        GroupColumn(prepared.preprocessor, group)  # it raises where that does not suit
    require_decidable(
        config.confirm.decide, prepared.preprocessor.target, metrics=config.task.metrics
    )
    return prepared


def prepare_config(
    context: Context, data: DataConfig, *, store: Path, again: bool = False
) -> PreparedDataset:
    """Prepare a dataset, or find it in a store; shows it, or its sizes alone if `again`."""
    with context.watch.stage("prepare"):
        prepared = prepare(
            build(data.source),
            store=store,
            target=data.target,
            task=data.task,
            positive=data.positive,
            schema=data.schema,
            split=data.split,
            preprocess=data.preprocess,
            text=data.text,
            bad_rows=data.bad_rows,
            on_progress=show.line,
        )
    if again:
        show.sizes(prepared)
    else:
        show.prepared(prepared)
    return prepared
