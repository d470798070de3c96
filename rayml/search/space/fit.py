"""Whether a space fits the trial config that it searches, checked before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rayml.config.components.build import is_node
from rayml.errors import InvalidConfigError
from rayml.search.space.parameter import Parameter, is_quoted_number
from rayml.search.space.space import Space, lookup
from rayml.train.build import SECTIONS, apply, read_scalar, train_settings


def check_fit(space: Space, config: Mapping[str, Any]) -> None:
    """Check each searched key against the config of a trial.

    A key must exist there, lie in a section that a trial reads, and take values of its type;
    every end of a range under `train` must be a valid setting. Conditions must read keys that
    are searched or that the config holds.

    Raises:
        InvalidConfigError: all that does not fit, each line naming its key.
    """
    problems = [problem for one in space.parameters for problem in _problems(one, space, config)]
    if problems:
        raise InvalidConfigError([f"space.{problem}" for problem in problems])


def _problems(parameter: Parameter, space: Space, config: Mapping[str, Any]) -> Iterator[str]:
    key = parameter.key
    yield from _unknown_conditions(parameter, space, config)
    section = key.partition(".")[0]
    if section not in SECTIONS:
        yield (
            f"{key}: only keys of {', '.join(SECTIONS)} can be searched, since the rest is done"
            f" once, before the trials; fix {key} in the config"
        )
        return
    try:
        base = lookup(config, key)
    except KeyError:
        yield f"{key}: not a key of the config; known are {_siblings(config, key)}"
        return
    yield from _within_another(parameter, space)
    if isinstance(base, Mapping | list | tuple) and not (parameter.compound and "." in key):
        yield (
            f"{key}: names a section or a list of the config; search the values in it, or give"
            " whole ones as choices"
        )
    elif section == "train" and not _is_argument(key, config):
        yield from _invalid_settings(parameter, config)
    else:
        yield from _wrong_types(parameter, base)


def _unknown_conditions(
    parameter: Parameter, space: Space, config: Mapping[str, Any]
) -> Iterator[str]:
    for key in parameter.when:
        if key in space.keys:
            continue
        try:
            lookup(config, key)
        except KeyError:
            yield f"{parameter.key}: when.{key} is neither searched nor a key of the config"


def _siblings(config: Mapping[str, Any], key: str) -> str:
    section = key.rpartition(".")[0]
    try:
        found = lookup(config, section)
    except KeyError:
        found = None
    if not isinstance(found, Mapping):
        return ", ".join(SECTIONS)
    return ", ".join(f"{section}.{name}" for name in found if not str(name).startswith("_"))


def _invalid_settings(parameter: Parameter, config: Mapping[str, Any]) -> Iterator[str]:
    """The settings class itself is asked, so that its bounds are written once."""
    for value in parameter.extremes():
        try:
            train_settings(apply(config, {parameter.key: value})["train"])
        except InvalidConfigError as error:
            yield from (problem for problem in error.problems if parameter.key in problem)


def _is_argument(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a key is an argument of the user's optimizer, which has no settings class."""
    section, _, _ = key.rpartition(".")
    return section == "train.optimizer" and is_node(lookup(config, section))


def _within_another(parameter: Parameter, space: Space) -> Iterator[str]:
    for other in space.keys:
        if parameter.key.startswith(f"{other}."):
            yield f"{parameter.key}: lies in {other}, which is searched as a whole; remove one"


def _wrong_types(parameter: Parameter, base: Any) -> Iterator[str]:
    """A component's argument has no declared type here; that of its value stands for it."""
    written = parameter.leaf.get("choices") or parameter.extremes()
    if base is None:
        for value in written:
            if isinstance(value, str) and read_scalar(value, base) != value:
                yield f"{parameter.key}: {value!r} would be read as JSON; write it without quotes"
        return
    for value in written:
        if value is not None and _kind(value) not in _accepted(base):
            yield (
                f"{parameter.key}: {value!r} is not {' or '.join(sorted(_accepted(base)))}, as the"
                f" {base!r} of the config is{_hint(value, base)}"
            )


def _hint(value: Any, base: Any) -> str:
    """What YAML may have made of a value."""
    if isinstance(value, bool) and isinstance(base, str):
        return "; YAML reads on, off, yes and no as true and false, so write them in quotes"
    if is_quoted_number(value) and isinstance(base, int | float):
        return "; write it without quotes"
    return ""


def _accepted(base: Any) -> set[str]:
    if base == "auto":
        return {"int", "str"}  # It stands for a number that a sweep chooses.
    return {"float", "int"} if isinstance(base, float) else {_kind(base)}


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    return "list" if isinstance(value, tuple) else type(value).__name__
