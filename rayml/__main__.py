"""Runs the command line: `rayml`, or `python -m rayml`.

It handles what happens before and after a command: an interrupt while modules are imported, and a
reader of the output that has gone.
"""

from __future__ import annotations

import os
import signal
import sys

# Imports before the handler is set are kept few: an interrupt during them shows a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

BROKEN_PIPE = 141


def main() -> NoReturn:
    """Run the command of the arguments, and end the process."""
    # Before a command begins, and after it, an interrupt can end the process at once.
    signal.signal(signal.SIGINT, _quit)
    from rayml.cli import main as command

    try:
        code = command()
    except SystemExit as ended:  # of argparse
        code = ended.code if isinstance(ended.code, int) else 1
    except BrokenPipeError:
        code = BROKEN_PIPE
    signal.signal(signal.SIGINT, _quit)
    if not _flushed():
        code = code or BROKEN_PIPE
    if code >= 128:
        # A thread that still imports would delay the end.
        os._exit(code)
    sys.exit(code)


def _quit(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"rayml: interrupted\n")
    os._exit(130)


def _flushed() -> bool:
    """Flush the output; returns whether its reader is still open."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Else the interpreter would flush again at its end, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


if __name__ == "__main__":
    main()
