"""On a terminal, `rayml run` shows a live view and serves until Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.e2e.command import environment

SMALL = ("search.trials=2", "train.epochs=3", "serve=one", "space.model.width.choices=[16]")


def _read_until(terminal: int, words: bytes, seconds: float) -> bytes:
    """What a terminal shows up to some words, or to the end of the command."""
    shown = b""
    deadline = time.monotonic() + seconds
    while words not in shown and time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux says so when the command has ended
            break
    return shown


def test_a_terminal_gets_a_live_view_and_an_endpoint_until_ctrl_c(tmp_path: Path) -> None:
    terminal, command_side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rayml", "run", *SMALL],
        cwd=tmp_path,
        env={**environment(tmp_path), "TERM": "xterm-256color"},
        stdin=command_side,
        stdout=command_side,
        stderr=command_side,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - Ctrl-C reaches whom the terminal belongs to
    ) as process:
        os.close(command_side)
        try:
            shown = _read_until(terminal, b"serving until Ctrl-C", 200)
            assert b"serving until Ctrl-C" in shown, shown.decode()
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
            assert " alive," in text
            assert "finished," in text
            assert "/2 trials" in text
            url = re.search(r"http://127\.0\.0\.1:\d+", text)
            assert url is not None
            with urllib.request.urlopen(f"{url[0]}/readyz", timeout=30) as answer:
                assert answer.status == 200
            os.write(terminal, b"\x03")
            rest = _read_until(terminal, b"the first epoch ended", 60)
            assert process.wait(timeout=60) == 0, rest.decode()
            assert b"Traceback" not in rest
        finally:
            process.kill()
            os.close(terminal)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
