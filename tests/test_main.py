"""The edge of the process: interrupts while modules are imported, and readers that leave."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Interrupts itself when the command line begins to import what it needs.
IMPORTING = """
import importlib.abc, os, signal, sys

module = sys.argv[1]

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from rayml.__main__ import main
sys.argv[1:] = ["check"]
main()
"""


@pytest.mark.parametrize("module", ["rayml.cli", "rayml.pipeline", "pydantic", "hydra"])
def test_an_interrupt_while_modules_are_imported_shows_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "rayml: interrupted")


@pytest.mark.parametrize(
    "words", [["--help"], ["sweep", "--help"], ["run", "--cfg", "job"], ["--version"]]
)
def test_a_reader_that_has_left_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rayml", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    # Where the output is not buffered, argparse itself takes no notice.
    assert done.returncode in {0, 141}
    assert done.stderr == ""


def test_what_is_shown_to_nobody_does_not_stop_the_work() -> None:
    code = (
        "import os, sys; from rayml.stages.commands import show;"
        "reading, writing = os.pipe(); os.dup2(writing, 1); os.close(reading);"
        "[show.line('x' * 100) for _ in range(1000)]; sys.stderr.write('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "done")
