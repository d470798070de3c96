"""Which trials of a sweep are trained again, and with which seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from rayml.search.space.parameter import Params
from rayml.train.build import apply
from rayml.train.seed_results import SEED

if TYPE_CHECKING:
    # It loads Optuna, which a worker that trains does without.
    from rayml.search.results.leaderboard import Leaderboard, TrialRow


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trial of the sweep that is trained again: its number, searched values and config."""

    number: int
    params: Params
    config: Mapping[str, Any]


def candidates(board: Leaderboard, trial: Mapping[str, Any], top: int) -> list[Candidate]:
    """The best trials that trained to their end and keep the constraints, each configuration once.

    Args:
        board: the sweep's trials, best first.
        trial: plain config that they started from.
        top: candidates at most.
    """
    ended = (row for row in board.rows if row.state == "COMPLETE" and row.feasible)
    return distinct(ended, trial, top)


def distinct(rows: Iterable[TrialRow], trial: Mapping[str, Any], most: int) -> list[Candidate]:
    """The first of some trials, each configuration once.

    Args:
        rows: trials, best first.
        trial: plain config that they started from.
        most: trials at most.
    """

    def unseen() -> Iterator[Candidate]:
        seen = []
        for row in rows:
            config = apply(trial, row.params)
            # A sampler may propose the same again, or under another seed.
            unseeded = apply(config, {SEED: 0})
            if unseeded not in seen:
                seen.append(unseeded)
                yield Candidate(row.number, row.params, config)

    return list(islice(unseen(), most))


def seeds_trained(seeds: int, folds: int) -> int:
    """How many seeds confirm a candidate: with folds fewer, as each of them trains a model a fold.

    Candidates are then told apart by their folds, which they have in common as they have seeds. So
    a confirmation costs about as many trainings as without folds.

    Args:
        seeds: the setting `confirm.seeds`.
        folds: models that a seed trains.
    """
    return -(-seeds // folds)


def new_seeds(trial: Mapping[str, Any], found: Sequence[Candidate], count: int) -> tuple[int, ...]:
    """Seeds that follow the config's, but for any that a candidate was searched with.

    Args:
        trial: plain config of the sweep's trials.
        found: the candidates.
        count: of seeds; more of them begin with the same ones.
    """
    searched = {each.config["train"]["seed"] for each in found}
    first = trial["train"]["seed"] + 1
    fresh = (seed for seed in range(first, first + count + len(searched)) if seed not in searched)
    return tuple(islice(fresh, count))
