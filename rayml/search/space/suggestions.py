"""The configurations that the user wants tried first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayml.errors import InvalidConfigError
from rayml.search.space.parameter import Params
from rayml.search.space.space import Space, lookup


@dataclass(frozen=True)
class Suggestions:
    """Configurations that come before the sampler's.

    Attributes:
        fitting: those that the space holds, a value for each parameter whose condition holds.
        unfit: a line for each of the others.
    """

    fitting: tuple[Params, ...]
    unfit: tuple[str, ...]


def adopt_suggestions(
    suggestions: Sequence[Mapping[str, Any]], space: Space, config: Mapping[str, Any]
) -> Suggestions:
    """Complete suggestions by the values of the config, and find those that the space holds.

    Args:
        suggestions: values by dotted key.
        space: of the sweep.
        config: of its trials.
    """
    fitting, unfit = [], []
    for each in suggestions:
        found = space.adopt(each, config) if each.keys() <= set(space.keys) else None
        if found is None:
            unfit.append(f"the space does not hold a suggested trial: {_text(each)}")
        elif found not in fitting:
            fitting.append(found)
    return Suggestions(tuple(fitting), tuple(unfit))


def check_suggestions(
    suggestions: Sequence[Mapping[str, Any]], space: Space, config: Mapping[str, Any]
) -> None:
    """Check that suggestions name keys of the space or of the trial's config.

    Raises:
        InvalidConfigError: some do not; all are named.
    """
    problems = [
        f"search.suggestions.{place}: {key!r} is not a key of the space or of the config; check its"
        " spelling, or remove it"
        for place, each in enumerate(suggestions)
        for key in each
        if key not in space.keys and not _has(config, key)
    ]
    if problems:
        raise InvalidConfigError(problems)


def _has(config: Mapping[str, Any], key: str) -> bool:
    try:
        lookup(config, key)
    except KeyError:
        return False
    return True


def _text(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())
