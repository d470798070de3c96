"""The structure of a trial: those of its values that a cohort shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rayml.search.space.parameter import Params, identity


def structure_of(params: Params, keys: Mapping[str, bool]) -> Params:
    """The values of a trial that its cohort shares.

    Args:
        params: of the trial.
        keys: whether a searched key is structural.
    """
    return {key: value for key, value in params.items() if keys.get(key)}


def count_structures(trials: Iterable[Params], keys: Mapping[str, bool]) -> int:
    """Structures that trials have; 0 where nothing is known of structures.

    Args:
        trials: values of each.
        keys: whether a searched key is structural, as far as that is known.
    """
    return len({identity(structure_of(params, keys)) for params in trials}) if keys else 0
