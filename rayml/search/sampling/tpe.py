"""Our sampler: a Parzen estimator or a process, at a cost that does not grow with the trials."""

from __future__ import annotations

import secrets

import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from rayml.search.sampling.delegating import DelegatingSampler
from rayml.search.sampling.tpe_model import TreeParzenModel
from rayml.search.sampling.tpe_sampler import TreeParzenSampler


class BoundedTPESampler(DelegatingSampler):
    """Proposes points that are likely under the good trials and unlikely under the others.

    As in Optuna's multivariate TPE, the best trials make one density and the others make another;
    of some points drawn from the first the one with the largest ratio is proposed. What differs:

    - The best are a quarter of the trials rather than a tenth, 25 at most, and kernels are no
      narrower than Scott's rule would have them: it stays less long near an early success.
    - The second density is made of the latest of the other trials and an even sample of the
      earlier ones, so that a proposal costs the same after 10,000 trials as after some hundred.
    - Values that are fixed beforehand (`enqueue_trial`) weigh the trials: those that had similar
      ones count more when the others are chosen. In the same way a parameter that only some trials
      have is chosen given the values that the trial has already.
    - The first trials, by number, are a Latin hypercube, however many run at once.
    - Where every parameter that all trials have takes few values, choices or steps, a Gaussian
      process over the trials' ranks proposes what it expects to improve most, among the points
      that were not tried.
    - A proposal draws from the seed and the trial's number alone, so that a resumed study does
      not propose anew what it had proposed.

    Running trials count among the others, so that trials that are asked at once are spread.
    Pruned trials rank behind complete ones, by their last step and their value there;
    infeasible trials (`Trial.set_constraint`) rank behind both, by their violation. Studies of
    several objectives are left to Optuna's own TPE, whose cost grows with the trials.

    Calls must come one at a time. One sampler serves one study.

    Args:
        seed: of all draws; None takes one from the system.
        startup_trials: trials, by number, that are not left to the model.
        candidates: points drawn for a proposal.
        share: of the trials that are good.
        good: trials in the first density at most.
        others: finished trials in the second density at most.
        width: of a kernel at least, as a share of the range, were there but one trial.
        trust: how much fixed values weigh, from 0 (not at all) to 1.

    Raises:
        ValueError: a number out of its range.
    """

    draws_by_number = True

    def __init__(
        self,
        *,
        seed: int | None = None,
        startup_trials: int = 10,
        candidates: int = 24,
        share: float = 0.25,
        good: int = 25,
        others: int = 256,
        width: float = 0.2,
        trust: float = 0.5,
    ) -> None:
        _check(candidates >= 1 and good >= 1 and others >= 1, "counts are at least 1")
        _check(0 < share <= 1, "share lies above 0 and at most at 1")
        _check(0 <= width <= 1 and 0 <= trust <= 1, "width and trust lie between 0 and 1")
        # Seeds of numpy are not negative.
        seed = secrets.randbits(64) if seed is None else seed % 2**64
        model = TreeParzenModel(
            candidates=candidates,
            share=share,
            good=good,
            others=others,
            width=width,
            trust=trust,
        )
        self._one = TreeParzenSampler(model, seed=seed, startup_trials=startup_trials)
        self._several = TPESampler(seed=seed % 2**32, n_startup_trials=startup_trials)

    def delegate(
        self, study: optuna.Study, _trial: FrozenTrial
    ) -> tuple[BaseSampler, optuna.Study]:
        """See `DelegatingSampler`."""
        return self._several if len(study.directions) > 1 else self._one, study


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)
