"""CMA-ES whose state is stored as JSON: Optuna's own puts a pickle into the study."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

_ARRAY = "array"


class PlainCmaEsSampler(CmaEsSampler):
    """Optuna's `CmaEsSampler`, but for the form in which trials keep the optimizer's state.

    Args:
        seed: of its draws.
        n_startup_trials: random trials before it begins.
        warn_independent_sampling: whether to warn of parameters that it leaves to chance.
        use_separable_cma: keep the covariance diagonal, for many parameters (Ros & Hansen 2008).
        popsize: trials of a generation; None derives it from their parameters.
        consider_pruned_trials: learn from pruned trials too.
        lr_adapt: adapt the learning rate (Nomura et al. 2023).
    """

    def __init__(
        self,
        *,
        seed: int,
        n_startup_trials: int = 1,
        warn_independent_sampling: bool = True,
        use_separable_cma: bool = False,
        popsize: int | None = None,
        consider_pruned_trials: bool = False,
        lr_adapt: bool = False,
    ) -> None:
        super().__init__(
            seed=seed,
            n_startup_trials=n_startup_trials,
            warn_independent_sampling=warn_independent_sampling,
            use_separable_cma=use_separable_cma,
            popsize=popsize,
            consider_pruned_trials=consider_pruned_trials,
            lr_adapt=lr_adapt,
        )
        self._separable = use_separable_cma
        self._optimizer: Any = None

    def _init_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        self._optimizer = super()._init_optimizer(*args, **kwargs)
        return self._optimizer

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:  # noqa: ARG002
        # What is given is the pickle of the optimizer that was made or restored last.
        state = {name: _plain(each) for name, each in self._optimizer.__getstate__().items()}
        return super()._split_optimizer_str(json.dumps(state))

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            parts = {
                name: part
                for name, part in trial.system_attrs.items()
                if name.startswith(self._attr_key_optimizer)
            }
            if parts:
                state = json.loads(self._concat_optimizer_attrs(parts))
                self._optimizer = self._made({k: _rich(v) for k, v in state.items()})
                return self._optimizer
        return None

    def _made(self, state: dict[str, Any]) -> Any:
        # Of an extra package, which `check_sampler` asks for.
        import cmaes

        kind = cmaes.SepCMA if self._separable else cmaes.CMA
        optimizer = kind.__new__(kind)
        optimizer.__setstate__(state)
        return optimizer


def _plain(value: Any) -> Any:
    """A value of the optimizer's state as JSON holds it."""
    if isinstance(value, np.ndarray):
        return {_ARRAY: value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def _rich(value: Any) -> Any:
    return np.array(value[_ARRAY]) if isinstance(value, dict) else value
