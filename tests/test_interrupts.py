"""Signals end a command once, in order, and say how to go on."""

from __future__ import annotations

import subprocess
import sys

import pytest

# It is told on standard input when to signal itself, so that nothing depends on time.
COMMAND = """
import os, signal, sys
from rayml.interrupts import TerminatedError, answering, ends_already

number, before = getattr(signal, sys.argv[1]), signal.getsignal(signal.SIGINT)
with answering(lambda: "go on with `this`"):
    if "already" in sys.argv:
        ends_already()
    try:
        os.kill(os.getpid(), number)
        print("not interrupted")
    except KeyboardInterrupt as signalled:
        print(type(signalled).__name__)
        os.kill(os.getpid(), number)
        print("in order")
        if "thrice" in sys.argv:
            os.kill(os.getpid(), number)
            print("too patient")
print(signal.getsignal(signal.SIGINT) is before)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-u", "-c", COMMAND, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        ("SIGINT", "KeyboardInterrupt", "interrupted"),
        ("SIGTERM", "TerminatedError", "asked to end"),
    ],
)
def test_the_first_ends_the_command_and_the_second_does_not(
    number: str, kind: str, said: str
) -> None:
    done = run(number)
    assert done.stdout.split("\n")[:3] == [kind, "in order", "True"]
    assert done.stderr.split("\n")[1::2] == [
        f"rayml: {said}; go on with `this`",
        "rayml: still ending; once more ends it at once",
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_third_ends_it_at_once(number: str, code: int) -> None:
    done = run(number, "thrice")
    assert done.returncode == code
    assert "too patient" not in done.stdout


def test_a_command_that_ends_already_is_not_interrupted() -> None:
    assert run("SIGINT", "already").stdout.startswith("not interrupted")
