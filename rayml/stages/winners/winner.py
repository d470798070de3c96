"""The winner of a sweep: the configuration and the weights that are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.errors import CheckpointError, SearchError
from rayml.search.cohort.worker import read_weights
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.problem.sweep_plan import TRIALS
from rayml.search.results.confirmation import (
    Confirmation,
    SelectedMember,
    read_confirmation,
)
from rayml.search.results.leaderboard import (
    Leaderboard,
    TrialRow,
    read_leaderboard,
    schedule_of,
)
from rayml.search.space.parameter import Params
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.objectives import MEASURED
from rayml.train.build import apply, build_member
from rayml.types import Direction

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee


@dataclass(frozen=True)
class WinnerMember:
    """A trained model of the winner.

    Attributes:
        trial: its number.
        params: searched values of the trial.
        config: of the trial.
        seed: of its training.
        weights: of a module its `state_dict` at its best epoch, of an estimator its files as
            uint8 tensors.
        votes: how many times its prediction counts.
        fold: that it did not train on; None where a split validates.
    """

    trial: int
    params: Params
    config: Mapping[str, Any]
    seed: int
    weights: Mapping[str, Tensor]
    votes: int = 1
    fold: int | None = None


@dataclass(frozen=True)
class Winner:
    """The best trial of a sweep, with its trained members.

    Attributes:
        number: of the trial.
        params: its searched values.
        config: of the trial.
        metric: name of the metric that was optimised.
        direction: of the metric.
        members: the trained models; several are an ensemble. Those of a selected ensemble may be
            of other trials too.
        validation: metrics of the model; None for an ensemble, whose mean is not measured yet.
        confirmation: over several seeds; None if there was none.
        schedule: values that changed while it trained, see `Lineage`.
        temperature: of what its models predict together.
        rule: by which a class is answered; None answers the most probable one.
    """

    number: int
    params: Params
    config: Mapping[str, Any]
    metric: str
    direction: Direction
    members: Sequence[WinnerMember]
    validation: Mapping[str, float | None] | None
    confirmation: Confirmation | None
    schedule: tuple[Mapping[str, Any], ...] = ()
    temperature: float = 1.0
    rule: DecisionRule | None = None

    @property
    def selected(self) -> bool:
        """Whether the members were selected among the models of several trials."""
        return self.confirmation is not None and self.confirmation.selection is not None

    @property
    def groups(self) -> list[list[WinnerMember]]:
        """The members by the component of their model, in the order in which these appear."""
        found: list[list[WinnerMember]] = []
        for member in self.members:
            alike = [each for each in found if each[0].config["model"] == member.config["model"]]
            if alike:
                alike[0].append(member)
            else:
                found.append([member])
        return found


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
    validation = None
    try:
        if confirmation.selection is not None:
            members = [
                member
                for each in confirmation.selection.members
                for member in _selected(each, sweep, trial)
            ]
        else:
            files = SeedFiles(sweep, chosen.number, config)
            results = [files.load(seed) for seed in confirmation.members]
            members = [
                member
                for each in results
                for member in _members(
                    WinnerMember(chosen.number, chosen.params, config, each.seed, each.weights)
                )
            ]
            validation = results[0].best.metrics if len(members) == 1 else None
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
        members=members,
        validation=validation,
        confirmation=confirmation,
    )


def _members(trained: WinnerMember) -> list[WinnerMember]:
    """The models of a training: one, or one a fold."""
    from rayml.train.folds.parts import parted

    parts = parted(trained.weights)
    if len(parts) == 1:
        return [trained]
    return [replace(trained, weights=each, fold=fold) for fold, each in enumerate(parts)]


def _selected(member: SelectedMember, sweep: Path, trial: Mapping[str, Any]) -> list[WinnerMember]:
    config = apply(trial, member.params)
    result = SeedFiles(sweep, member.trial, config).load(member.seed)
    return _members(
        WinnerMember(member.trial, member.params, config, member.seed, result.weights, member.votes)
    )


def _best_trial(board: Leaderboard, sweep: Path, trial: Mapping[str, Any]) -> Winner:
    best = _best(board, sweep)
    assert best.epoch is not None
    params = best.ancestry.params_in(best.epoch)
    config = apply(trial, params)
    stretches = schedule_of(board, best)
    weights = read_weights(sweep / TRIALS / str(best.number))
    members = _members(WinnerMember(best.number, params, config, config["train"]["seed"], weights))
    return Winner(
        number=best.number,
        params=params,
        config=config,
        metric=board.metric,
        direction=board.direction,
        members=members,
        validation=_validation(best, best.epoch) if len(members) == 1 else None,
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


def _validation(best: TrialRow, epoch: int) -> Mapping[str, float | None]:
    _, metrics = best.curve[epoch]
    others = ("train_loss", *MEASURED)
    return {name: value for name, value in metrics.items() if name not in others}


def committee_of(winner: Winner, data: PreparedDataset) -> Committee:
    """The models of a winner, trained."""
    from rayml.models.estimators.members import Committee

    shape, target = data.preprocessor.shape, data.preprocessor.target
    members = [
        build_member(each.config, each.weights, shape=shape, target=target)
        for each in winner.members
    ]
    votes = [each.votes for each in winner.members] if winner.selected else ()
    return Committee(members, votes, winner.temperature, memory={})
