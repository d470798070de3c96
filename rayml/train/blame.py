"""Where the user's own code failed: the file and line that they can mend."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import rayml

# Whose frames a user can do nothing about, where they are installed.
_PACKAGES = (
    "torch", "functorch", "numpy", "ray", "pydantic", "pyarrow", "pandas", "scipy", "captum",
    "safetensors", "optuna",
)  # fmt: skip


def users_line(error: BaseException) -> str:
    """The innermost place in the user's code that an error, or one that caused it, came from.

    Returns:
        Such as `nets.py:12, in forward: return self.layer(x)`; empty if there is none.
    """
    found = ""
    for each in _causes(error):
        for frame in traceback.extract_tb(each.__traceback__):
            if not _is_known(frame.filename):
                found = f"{_short(frame.filename)}:{frame.lineno}, in {frame.name}: {frame.line}"
    return found


def explain(error: BaseException) -> str:
    """What went wrong and where, on one line: in the user's code if it began there."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if place := users_line(error):
        return f"{text} ({place})"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:  # it was returned, not raised
        return text
    last = frames[-1]
    return f"{text} ({Path(last.filename).name}:{last.lineno}, in {last.name}: {last.line})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those it was raised from, the first cause last."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__


def _is_known(file: str) -> bool:
    return file.startswith(("<", *_folders()))


@cache
def _folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    installed = {paths["purelib"], paths["platlib"]}
    folders = [f"{folder}/{package}/" for folder in installed for package in _PACKAGES]
    # Installed packages lie below the standard library in some layouts.
    library = [f"{paths['stdlib']}/{name}" for name in _library(Path(paths["stdlib"]))]
    return (f"{Path(rayml.__file__).parent}/", *folders, *library)


def _library(folder: Path) -> Iterator[str]:
    for each in folder.iterdir():
        if each.suffix == ".py":
            yield each.name
        elif each.is_dir() and each.name not in {"site-packages", "dist-packages"}:
            yield f"{each.name}/"


def _short(file: str) -> str:
    """Relative to the present folder where it lies below it."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file
