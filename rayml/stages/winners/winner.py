"""The winner of a sweep: the configuration and the weights that are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.errors import CheckpointError, SearchError
from rayml.search.cohort.worker import WEIGHTS
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.problem.sweep_plan import TRIALS
from rayml.search.results.confirmation import Confirmation, read_confirmation
from rayml.search.results.leaderboard import (
    Leaderboard,
    TrialRow,
    read_leaderboard,
    schedule_of,
)
from rayml.search.space.parameter import Params
from rayml.tasks.objectives import MEASURED
from rayml.tasks.table import outputs_of
from rayml.train.trial import apply, build_member
from rayml.types import Direction

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Member


@dataclass(frozen=True)
class Winner:
    """The best trial of a sweep, with its trained members.

    Attributes:
        number: of the trial.
        params: its searched values.
        config: of the trial.
        metric: name of the metric that was optimised.
        direction: of the metric.
        seeds: of the models.
        members: for each model its `state_dict` at its best epoch, for each estimator its files as
            uint8 tensors; several are an ensemble.
        validation: metrics of the model; None for an ensemble, whose mean is not measured yet.
        confirmation: over several seeds; None if there was none.
        schedule: values that changed while it trained, see `Lineage`.
    """

    number: int
    params: Params
    config: Mapping[str, Any]
    metric: str
    direction: Direction
    seeds: tuple[int, ...]
    members: Sequence[Mapping[str, Tensor]]
    validation: Mapping[str, float | None] | None
    confirmation: Confirmation | None
    schedule: tuple[Mapping[str, Any], ...] = ()


def find_winner(sweep: Path, trial: Mapping[str, Any]) -> Winner:
    """The confirmed winner of a sweep; the best trial if none was confirmed.

    Args:
        sweep: folder of the sweep.
        trial: plain config that its trials started from.

    Raises:
        SearchError: no trial of the sweep has a value, or the weights are gone.
    """
    confirmation = read_confirmation(sweep)
    if confirmation is None:
        return _best_trial(read_leaderboard(sweep), sweep, trial)
    return _confirmed(confirmation, sweep, trial)


def _confirmed(confirmation: Confirmation, sweep: Path, trial: Mapping[str, Any]) -> Winner:
    chosen = confirmation.chosen
    config = apply(trial, chosen.params)
    files = SeedFiles(sweep, chosen.number, config)
    try:
        results = [files.load(seed) for seed in confirmation.members]
    except CheckpointError as error:
        raise SearchError(
            f"the weights of the winner of sweep {sweep.name} cannot be read ({error})",
            remedy=f"Confirm the sweep again with `rayml confirm {sweep.name}`",
        ) from error
    return Winner(
        number=chosen.number,
        params=chosen.params,
        config=config,
        metric=confirmation.metric,
        direction=confirmation.direction,
        seeds=confirmation.members,
        members=[result.weights for result in results],
        validation=None if confirmation.ensemble else results[0].best.metrics,
        confirmation=confirmation,
    )


def _best_trial(board: Leaderboard, sweep: Path, trial: Mapping[str, Any]) -> Winner:
    best = _best(board, sweep)
    assert best.epoch is not None
    params = best.ancestry.params_in(best.epoch)
    config = apply(trial, params)
    stretches = schedule_of(board, best)
    return Winner(
        number=best.number,
        params=params,
        config=config,
        metric=board.metric,
        direction=board.direction,
        seeds=(config["train"]["seed"],),
        members=[_weights(sweep / TRIALS / str(best.number) / WEIGHTS)],
        validation=_validation(best, best.epoch),
        confirmation=None,
        schedule=tuple(map(asdict, stretches)) if len(stretches) > 1 else (),
    )


def _best(board: Leaderboard, sweep: Path) -> TrialRow:
    rows = [row for row in board.rows if row.value is not None and row.state != "RUNNING"]
    if rows and not rows[0].feasible:
        raise SearchError(
            f"no trial of sweep {sweep.name} keeps the constraints; the nearest is trial"
            f" {rows[0].number}, with a violation of {rows[0].violation}",
            remedy=f"Loosen search.constraints or search longer; `rayml report {sweep.name}` shows"
            " the violation of each trial",
        )
    if not rows:
        raise SearchError(
            f"no trial of sweep {sweep.name} has a value",
            remedy=f"See `rayml report {sweep.name}` for why its trials failed",
        )
    return rows[0]


def _weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise SearchError(
            f"the weights of the best trial cannot be read from {path} ({error})",
            remedy="Restore the sweep's folder, or run the sweep again",
        ) from error


def _validation(best: TrialRow, epoch: int) -> Mapping[str, float | None]:
    _, metrics = best.curve[epoch]
    others = ("train_loss", *MEASURED)
    return {name: value for name, value in metrics.items() if name not in others}


def members_of(winner: Winner, data: PreparedDataset) -> list[Member]:
    """The models of a winner, trained."""
    shape, target = data.preprocessor.shape, data.preprocessor.target
    return [
        build_member(winner.config, weights, shape=shape, outputs=outputs_of(target))
        for weights in winner.members
    ]
