"""Runs rayml as a user does: as a command, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import Rayml, environment


@pytest.fixture(scope="session")
def rayml() -> Rayml:
    """Run one command to its end: `rayml(home, "run", "data=wine", code=0)`."""

    def call(home: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "rayml", *arguments],
            cwd=home,
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return call
