"""A stored config with overrides on it, for what goes on with an earlier command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rayml.config.compose import Composed, checked, compose, groups
from rayml.errors import InvalidConfigError

_ABSENT = object()


def recompose(
    stored: Composed, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> Composed:
    """Apply overrides to a config that is composed already.

    Args:
        stored: the config.
        overrides: in Hydra's grammar. A key takes a value, `+` adds one, `~` removes it;
            `group=option` puts an option of a config group in place of the section.
        config_dirs: the user's own folders of config groups.

    Raises:
        InvalidConfigError: overrides that do not apply, all of them.
    """
    config = OmegaConf.create(stored.plain)
    OmegaConf.set_struct(config, True)
    known = groups(config_dirs)
    problems = []
    for text in overrides:
        try:
            _apply(config, OverridesParser.create().parse_override(text), known, config_dirs)
        except (HydraException, OmegaConfBaseException, KeyError, ValueError) as error:
            problems.append(f"{text}: {str(error).splitlines()[0]}")
    if problems:
        raise InvalidConfigError(problems)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return checked(plain)  # type: ignore[arg-type]


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values differ, a section that is there in one alone told as one."""
    found = []
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += [f"{name}.{key}" for key in changed_keys(one, other)]
        elif one is _ABSENT or other is _ABSENT or one != other:
            found.append(name)
    return found


def _apply(
    config: DictConfig,
    override: Override,
    known: Mapping[str, Sequence[str]],
    config_dirs: Sequence[Path],
) -> None:
    key, value = override.key_or_group, override.value()
    if override.is_delete():
        _delete(config, key)
    elif key in known and isinstance(value, str):
        section = compose([f"{key}={value}"], config_dirs)
        if section.problems:
            raise ValueError(section.problems[0])
        config[key] = section.plain[key]
    else:
        OmegaConf.update(config, key, value, merge=False, force_add=override.is_add())


def _delete(config: DictConfig, key: str) -> None:
    section, _, name = key.rpartition(".")
    node = OmegaConf.select(config, section) if section else config
    if not isinstance(node, DictConfig) or name not in node:
        raise KeyError(f"{key} is no key of the config")
    OmegaConf.set_struct(node, False)
    del node[name]
