"""Versions of a model share the encoders of their texts, which are large and seldom change."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from pathlib import Path

_ENCODERS = "preprocessor/encoders"


class Shared:
    """Copies the files of a bundle; an encoder that a version has becomes a link to its bytes.

    A link is to a file of the registry itself, so that nothing outside can change what it holds.

    Args:
        bundle: folder of the bundle.
        versions: folder of the versions of its model.
    """

    def __init__(self, bundle: Path, versions: Path) -> None:
        self._bundle = bundle
        self._versions = versions

    def put(self, source: str, copy: str) -> str:
        """Copy one file, as `shutil.copy2` does."""
        path = Path(source).relative_to(self._bundle)
        if not path.is_relative_to(_ENCODERS) or Path(source).is_symlink():
            return str(shutil.copy2(source, copy))
        for version in self._versions.iterdir():
            known = version / path
            with contextlib.suppress(OSError):  # no such file, or a disk without links
                if not known.is_symlink() and filecmp.cmp(source, known, shallow=False):
                    os.link(known, copy)
                    return copy
        return str(shutil.copy2(source, copy))
