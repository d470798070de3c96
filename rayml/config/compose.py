"""Composes a config with Hydra and checks it against the typed schema, all errors at once."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from rayml.config.problems import problems_of
from rayml.config.schema import Config
from rayml.config.secrets import masked
from rayml.config.setting_keys import is_setting
from rayml.errors import ConfigError, InvalidConfigError

_COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, YAMLError)
_APPEND = "To append to your config"  # Hydra's hint where a key does not exist
_schema = pydantic.TypeAdapter(Config)


@dataclass(frozen=True)
class Composed:
    """A composed config and its problems.

    Attributes:
        plain: the config as nested plain containers, every interpolation resolved.
        problems: one line an error, each naming its key; empty if the config is sound.
    """

    plain: dict[str, Any]
    problems: tuple[str, ...]

    def typed(self) -> Config:
        """The config as typed settings.

        Raises:
            InvalidConfigError: the config has problems.
        """
        if self.problems:
            raise InvalidConfigError(self.problems)
        return _schema.validate_python(self.plain)

    def yaml(self) -> str:
        """The config as YAML; a password in a URL is masked, since the text is shown and kept."""
        return OmegaConf.to_yaml(OmegaConf.create(_without_passwords(self.plain)))


def config_folder() -> Path:
    """Folder of rayml's own config groups: inside an installed wheel, or beside a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[Path] = ()) -> Composed:
    """Compose the config from its groups and the user's overrides.

    Args:
        overrides: in Hydra's grammar, such as `data=adult` or `train.epochs=5`.
        config_dirs: the user's own folders of config groups. Their parent's packages are
            importable, so that a `_target_` can name the user's code.

    Returns:
        The config and all its problems: overrides that do not apply, unknown keys, values of a
        wrong type, values that are missing.

    Raises:
        ConfigError: a config folder does not exist.
    """
    for folder in config_dirs:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise ConfigError(
                f"--config-dir {folder} {what}", remedy="Give a folder of config groups"
            )
    search = ",".join(_quoted(f"file://{folder.resolve()}") for folder in config_dirs)
    base = [f"hydra.searchpath=[{search}]"] if search else []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config, problems = _apply(base, list(overrides))
    # A problem with one key does not hide a problem with another.
    missing = _missing(config)
    if missing:
        return Composed(_masked(config), (*problems, *missing))
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        return Composed(_masked(config), (*problems, _first_line(error)))
    assert isinstance(plain, dict)
    found = checked(plain)  # type: ignore[arg-type]
    return Composed(found.plain, (*problems, *found.problems))


def _quoted(text: str) -> str:
    """A string in Hydra's override grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def groups(config_dirs: Sequence[Path] = ()) -> dict[str, list[str]]:
    """The config groups and their options, rayml's own and the user's."""
    found: dict[str, set[str]] = {}
    for folder in (config_folder(), *config_dirs):
        for file in folder.glob("*/**/*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            if "/_" in group:  # parts of options
                continue
            found.setdefault(group, set()).add(file.stem)
    return {group: sorted(options) for group, options in sorted(found.items())}


def _apply(base: list[str], overrides: list[str]) -> tuple[DictConfig, list[str]]:
    """Compose; on an error find the overrides that cause it and leave them out."""
    try:
        return hydra_compose("config", overrides=base + overrides), []
    except _COMPOSITION_ERRORS:
        sound: list[str] = []
        problems: list[str] = []
    for override in overrides:
        try:
            sound.append(_applied(override, base + sound))
        except _COMPOSITION_ERRORS as error:
            problems.append(_explain(override, error, base + sound))
    try:
        return hydra_compose("config", overrides=base + sound), problems
    except _COMPOSITION_ERRORS as error:
        raise ConfigError(
            f"the config does not compose, even without overrides ({_first_line(error)})",
            remedy="Correct the files in your --config-dir",
        ) from error


def _applied(override: str, sound: list[str]) -> str:
    """The override as it applies: of a setting that no file writes out, Hydra wants it added."""
    try:
        hydra_compose("config", overrides=[*sound, override])
    except _COMPOSITION_ERRORS as error:
        if _APPEND not in str(error) or not is_setting(override.partition("=")[0]):
            raise
        added = f"+{override}"
        hydra_compose("config", overrides=[*sound, added])
        return added
    return override


def _explain(override: str, error: Exception, sound: list[str]) -> str:
    key = override.lstrip("+~").partition("=")[0]
    text = _first_line(error)
    if _APPEND not in str(error):
        return f"{override}: {text}"
    known = OmegaConf.to_container(hydra_compose("config", overrides=sound))
    keys = [name for name, _ in _values(known)]
    if key in keys:
        return f"{key}: its keys are names that you choose; to add one write +{override}"
    near = difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"to add a new key write +{override}"
    return f"{key}: unknown key; {hint}"


def _values(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield f"{prefix}{name}", value
            yield from _values(value, f"{prefix}{name}.")


def checked(plain: dict[str, Any]) -> Composed:
    """A config of plain containers, and its problems."""
    return Composed(plain, tuple(_invalid(plain)))


def _missing(config: DictConfig) -> list[str]:
    # OmegaConf.missing_keys would follow interpolations, and fail on those to missing values.
    values = _values(OmegaConf.to_container(config, resolve=False))
    return [f"{key}: a value is missing; set {key}=…" for key, value in values if value == "???"]


def _without_passwords(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _without_passwords(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_without_passwords(value) for value in tree]
    return masked(tree) if isinstance(tree, str) else tree


def _masked(config: DictConfig) -> dict[str, Any]:
    """The config with its interpolations unresolved, which can be shown although it has errors."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def _invalid(plain: Mapping[str, Any]) -> Iterator[str]:
    try:
        _schema.validate_python(plain)
    except pydantic.ValidationError as error:
        yield from problems_of(error)


def _first_line(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def add_import_paths(config_dirs: Sequence[Path]) -> list[str]:
    """Make the user's code importable: the current folder and those beside the config folders.

    Returns:
        The folders added to `sys.path`, which worker processes need too.
    """
    added = list(dict.fromkeys([str(Path.cwd()), *project_folders(config_dirs)]))
    for folder in reversed(added):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return added


def project_folders(config_dirs: Sequence[Path]) -> list[str]:
    """The folders beside the user's config folders, which hold the code that those name."""
    return [str(folder.resolve().parent) for folder in config_dirs]
