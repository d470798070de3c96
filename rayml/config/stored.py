"""Reads the config of a stored sweep.

Anybody may have written the file, so its components are built only after `StoredConfig.trusted`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rayml.config.components.build import TARGET, names_target
from rayml.config.components.registered import Role
from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import Trust
from rayml.config.components.trusted import locate_trusted, require_target, require_trusted
from rayml.config.compose import Composed, checked, compose, groups
from rayml.config.plain_yaml import load_plain
from rayml.errors import BuildError, ConfigError, InvalidConfigError
from rayml.storage.bounded import TooLargeError, read_bounded

# Of a file, in bytes: those of sweeps are some kilobytes.
_MOST_BYTES = 4 << 20
# A file cannot say whom to trust.
_NOT_STORED = ("trust",)
_UNREADABLE = (OSError, TooLargeError, ValueError, RecursionError)
_ABSENT = object()
_NOT_HERE = "a stored config names a component here, where none belongs"


@dataclass(frozen=True)
class StoredConfig:
    """A config from a file, whose components are not checked yet.

    Attributes:
        path: of the file.
        plain: its content, to be shown or compared; no component of it may be built.
    """

    path: Path
    plain: Mapping[str, Any]

    def trusted(self, trust: Trust) -> Composed:
        """The config, if all the components that it names are trusted.

        Raises:
            InvalidConfigError: a component is not trusted or not of the role of its place, lies
                inside another, or does not take its arguments; all of them are reported.
        """
        problems = list(_untrusted(self.plain, trust))
        if problems:
            raise InvalidConfigError([f"{self.path}: {problem}" for problem in problems])
        plain = {key: value for key, value in self.plain.items() if key not in _NOT_STORED}
        return checked(plain)


def read_stored(path: Path) -> StoredConfig:
    """Read the config that `Composed.yaml` was written to.

    Raises:
        ConfigError: the file is absent, too large, or not a YAML mapping of plain values.
    """
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
        load_plain(text)
        plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (*_UNREADABLE, OmegaConfBaseException) as error:
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"the config of a sweep cannot be read ({line})",
            found=str(path),
            remedy="Check the sweep's name",
        ) from error
    if not isinstance(plain, dict):
        raise ConfigError(
            "the config of a sweep is not a YAML mapping",
            found=str(path),
            remedy="Restore the file from a copy",
        )
    # In the values, not the text: an escaped dollar is none there, and is resolved later.
    if any(isinstance(each, str) and "${" in each for each in _leaves(plain)):
        raise ConfigError(
            "the config of a sweep has interpolations, which rayml does not write there",
            found=str(path),
            remedy="Restore the file from a copy",
        )
    return StoredConfig(path, plain)  # type: ignore[arg-type]


def require_trusted_params(params: Mapping[str, Any], trust: Trust) -> None:
    """Check that the searched values of a study name only trusted components.

    Args:
        params: values by dotted key.
        trust: whose code may run.

    Raises:
        BuildError: one names another.
    """
    for key, value in params.items():
        place = key.rpartition(".")[0]
        if names_target(key):
            _require_choice(place, value, trust)
        elif _holds_component(key, value):
            raise BuildError(
                f"a stored trial has a component as the value of {key}",
                remedy="Use a sweep whose files you trust",
            )


def _untrusted(plain: Mapping[str, Any], trust: Trust) -> Iterator[str]:
    """The components of a stored config that may not be built, a line for each."""
    rest = {key: each for key, each in plain.items() if key != "space"}
    for key, node in [*_nodes(rest), *_nodes_as_settings(plain)]:
        role = _role(key)
        try:
            if role is None:
                raise BuildError(_NOT_HERE)
            _require_node(StoredNode.of(node), role, trust)
        except BuildError as error:
            yield f"{key}: {error}"
    for key, value in _values(plain.get("space")):
        searched = key.removesuffix(".choices")
        place = searched.rpartition(".")[0]
        try:
            if names_target(searched) and searched != key:
                for choice in value if isinstance(value, list) else [value]:
                    _require_choice(place, choice, trust)
            elif _holds_component(searched, value):
                raise BuildError(_NOT_HERE)
        except BuildError as error:
            yield f"space.{key}: {error}"


def _require_node(node: StoredNode, role: Role, trust: Trust) -> None:
    if role in {"optimizer", "sampler", "pruner"}:
        # It lies beside defaults of rayml's own, which its class need not take.
        locate_trusted(node.target, role, trust)
    else:
        require_trusted(node, role, trust)


def _nodes_as_settings(plain: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The user's classes where they stand as the settings that a node of them becomes."""
    for key in ("train.optimizer", "search.sampler", "search.pruner"):
        section, _, name = key.partition(".")
        tree = plain.get(section)
        found = tree.get(name) if isinstance(tree, Mapping) else None
        if isinstance(found, Mapping) and TARGET not in found and found.get("target") is not None:
            yield key, {TARGET: found["target"], "arguments": found.get("arguments")}


def _holds_component(key: str, value: object) -> bool:
    """Whether a searched value, or one of several, becomes a component or the settings of one."""
    values = (
        [_parsed(each) for each in value] if isinstance(value, list | tuple) else [_parsed(value)]
    )
    settings = key == "train.optimizer" and any(
        isinstance(each, Mapping) and "target" in each for each in values
    )
    return settings or any(True for _ in _nodes(values))


def _parsed(value: object) -> object:
    """A value of a study, which holds lists and mappings as their text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _require_choice(place: str, value: object, trust: Trust) -> None:
    role = _role(place)
    if role is None:
        raise BuildError(
            f"a file names {str(value)[:100]!r} at {place}, where no component belongs"
        )
    require_target(str(value), role, trust)


def _role(key: str) -> Role | None:
    """What the component at a key of a config must be; None where there is none."""
    if key in _PLACES:
        return _PLACES[key]
    section, _, name = key.rpartition(".")
    return _NAMED.get(section) if name else None


# Families of models, and metrics, have names that the user chooses.
_NAMED: Mapping[str, Role] = {"model": "model", "task.metrics": "metric"}
_PLACES: Mapping[str, Role] = {
    "model": "model",
    "data.source": "source",
    "train.optimizer": "optimizer",
    "search.sampler": "sampler",
    "search.pruner": "pruner",
}


def _nodes(value: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The outermost component nodes of a tree, by key."""
    if isinstance(value, Mapping):
        if TARGET in value:
            yield key, value
            return
        for name, each in value.items():
            yield from _nodes(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _nodes(each, f"{key}[{index}]")


def _values(tree: object, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a space except mappings, by key."""
    if not isinstance(tree, Mapping):
        yield key, tree
        return
    for name, each in tree.items():
        yield from _values(each, f"{key}.{name}" if key else str(name))


def _leaves(tree: object) -> Iterator[object]:
    """All keys, and all values except containers."""
    if isinstance(tree, Mapping):
        yield from tree
        yield from (leaf for each in tree.values() for leaf in _leaves(each))
    elif isinstance(tree, list | tuple):
        yield from (leaf for each in tree for leaf in _leaves(each))
    else:
        yield tree


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
        InvalidConfigError: overrides do not apply; all of those are reported.
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
    """Dotted keys whose values differ; a section that only one config has counts as one key."""
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
        raise KeyError(f"the config has no key {key}")
    OmegaConf.set_struct(node, False)
    del node[name]
