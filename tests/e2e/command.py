"""rayml as a command in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

Rayml = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path) -> dict[str, str]:
    """A user's environment: rayml's folders below `home`, and a terminal wide enough."""
    return {**os.environ, "RAYML_HOME": str(home / "runs"), "COLUMNS": "160"}
