"""Counts the functions of `rayml.search` that one trial passes through, from ask to tell.

    python tests/bench/trial_stations.py CHECKOUT

Runs a sweep of one trial with the `rayml` of a checkout's `.venv`, and notes in each of its
processes which functions of `rayml/search` are called (`sys.setprofile`; nested functions count,
class bodies, comprehensions and lambdas do not). Counted is what runs inside the searcher's
`suggest`, inside `train_cohort`, and inside a call of the study. What only shows the progress of
the sweep, or opens and closes its study, does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HOOK = """
import os, sys, threading
_FOLDER = os.environ["STATIONS"]
_ROOTS = {"suggest", "train_cohort"}
_ASIDE = {"snapshot", "curves", "resumed", "halted", "close", "__init__"}
_LEFT_OUT = {"<module>", "<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"}
_FUNCTION = 2  # CO_NEWLOCALS, which the body of a class lacks
_seen = set()

def _called(frame, event, _argument):
    code = frame.f_code
    if event != "call" or code in _seen:
        return
    _, found, place = code.co_filename.rpartition("/rayml/search/")
    if not found or code.co_name in _LEFT_OUT or not code.co_flags & _FUNCTION:
        return
    outer = None
    while frame is not None:
        if "/rayml/search/" in frame.f_code.co_filename:
            outer = frame.f_code
        frame = frame.f_back
    called = "/rayml/search/study/" in outer.co_filename and outer.co_name not in _ASIDE
    if called or outer.co_name in _ROOTS:
        _seen.add(code)
        with open(f"{_FOLDER}/{os.getpid()}", "a") as out:
            out.write(f"{place}:{code.co_qualname}\\n")

sys.setprofile(_called)
threading.setprofile(_called)
"""
SWEEP = ("data=iris", "search.trials=1", "train.epochs=2", "search.cohort.lanes=2", "confirm=none")


def main() -> None:
    """Run the sweep, and print the stations and how many there are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("hook", "stations", "sweep"):
            (folder / name).mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "hook"),
            "STATIONS": str(folder / "stations"),
        }
        command = [str(checkout / ".venv/bin/rayml"), "sweep", *SWEEP]
        done = subprocess.run(
            command,
            check=False,
            cwd=folder / "sweep",
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found = {
            line for path in (folder / "stations").iterdir() for line in path.read_text().split()
        }
    print("\n".join(sorted(found)))
    files = {each.partition(":")[0] for each in found}
    rooms = Counter(each.partition("/")[0] for each in found)
    print(f"{len(found)} functions in {len(files)} files: {dict(sorted(rooms.items()))}")


if __name__ == "__main__":
    main()
