"""Makes the best trial of a sweep a version in the registry, measured once on the test split."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.errors import SearchError
from rayml.models.objectives import MEASURED
from rayml.registry.bundle import BundleInfo, write_bundle
from rayml.registry.champion import promote
from rayml.registry.lineage import Lineage
from rayml.registry.signature import make_signature
from rayml.registry.store import Registry
from rayml.search.report import Leaderboard, TrialRow, read_leaderboard, schedule_of
from rayml.search.sweep import TRIALS
from rayml.search.worker import WEIGHTS
from rayml.stages import show
from rayml.stages.context import Context
from rayml.stages.preflight import trial_config
from rayml.stages.sweep import config_of_sweep
from rayml.train.trial import apply, build_model, build_trial_task

if TYPE_CHECKING:
    import torch

    from rayml.data.prepare import PreparedDataset


def register_winner(context: Context, sweep: Path, data: PreparedDataset) -> int:
    """Bundle and register the best trial of a sweep; the config's policy may promote it.

    Returns:
        The number of the new version.

    Raises:
        SearchError: no trial of the sweep came to a value or keeps its constraints, or the
            weights of the best one are gone.
    """
    config = context.config
    registry = Registry(Path(config.paths.registry))
    trial = trial_config(config_of_sweep(sweep).plain)
    with context.watch.stage("register"), tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / "bundle"
        info = write_winner(sweep, trial, data, name=config.name, folder=bundle)
        version = registry.register(bundle)
        decision = promote(registry, config.name, version, config.registry.promote)
    show.registered(info, version, decision)
    return version


def write_winner(
    sweep: Path,
    trial: Mapping[str, Any],
    data: PreparedDataset,
    *,
    name: str,
    folder: Path,
) -> BundleInfo:
    """Write the bundle of a sweep's best trial, measured once on the test split.

    Args:
        sweep: folder of the sweep.
        trial: plain config that its trials started from.
        data: that they trained on.
        name: of the model in the registry.
        folder: of the bundle, which is made.

    Raises:
        SearchError: no trial of the sweep came to a value, or its weights are gone.
    """
    board = read_leaderboard(sweep)
    best = _best(board, sweep)
    params = best.ancestry.params_in(best.epoch)
    config = apply(trial, params)
    weights = _weights(sweep / TRIALS / str(best.number) / WEIGHTS)
    assert best.epoch is not None
    stretches = schedule_of(board, best)
    info = BundleInfo(
        name=name,
        model=config["model"],
        metric=board.metric,
        direction=board.direction,
        metrics={
            "validation": _validation(best, best.epoch),
            "test": _test(config, weights, data),
        },
    )
    write_bundle(
        folder,
        info=info,
        signature=make_signature(data.preprocessor),
        lineage=Lineage(
            data_hash=data.hash,
            source_fingerprint=data.source,
            sweep=sweep.name,
            trial=best.number,
            params=params,
            seed=config["train"]["seed"],
            schedule=tuple(map(asdict, stretches)) if len(stretches) > 1 else (),
        ),
        preprocessor=data.preprocessor,
        weights=weights,
    )
    return info


def _best(board: Leaderboard, sweep: Path) -> TrialRow:
    rows = [row for row in board.rows if row.value is not None and row.state != "RUNNING"]
    if rows and not rows[0].feasible:
        raise SearchError(
            "a version keeps the search's constraints, and no trial does",
            value={"trial": rows[0].number, "violation": rows[0].violation},
            remedy=f"Loosen search.constraints or search longer; `rayml report {sweep.name}` shows"
            " how far each trial is from them",
        )
    if not rows:
        raise SearchError(
            "a sweep needs a trial that came to a value",
            value=str(sweep),
            remedy=f"`rayml report {sweep.name}` tells why its trials failed",
        )
    return rows[0]


def _weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise SearchError(
            f"the best trial's weights can be read ({error})",
            value=str(path),
            remedy="Restore the sweep's folder, or run the sweep again",
        ) from error


def _validation(best: TrialRow, epoch: int) -> Mapping[str, float | None]:
    _, metrics = best.curve[epoch]
    others = ("train_loss", *MEASURED)
    return {name: value for name, value in metrics.items() if name not in others}


def _test(
    config: Mapping[str, Any], weights: Mapping[str, torch.Tensor], data: PreparedDataset
) -> dict[str, float]:
    from rayml.train.batches import ArrayBatches
    from rayml.train.evaluate import evaluate

    preprocessor = data.preprocessor
    model = build_model(
        config["model"], shape=preprocessor.shape, outputs=preprocessor.target.outputs
    )
    model.load_state_dict(dict(weights))
    task = build_trial_task(config["task"], preprocessor.target)
    rows = config["train"]["eval_batch_size"]
    return evaluate(model, task, ArrayBatches(data.examples("test"), rows))
