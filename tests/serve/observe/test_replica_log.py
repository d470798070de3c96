"""What a replica says, and where it goes."""

from __future__ import annotations

import builtins
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private import logging_utils

from rayml.serve.observe.line_file import LineFile
from rayml.serve.observe.replica_log import LineHandler, start_log
from rayml.serve.rayserve.printing import restore_print
from rayml.settings.serve import LogSettings

LOGGERS = ("", "rayml", "ray.serve", "stdout", "stderr")


class Serves(logging.Handler):
    """Stands for the handler by which Serve writes to Ray's folder."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def serves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serves]:
    """A process as Serve leaves it for a replica; it is as before afterwards."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(builtins, "print", logging_utils.redirected_print)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.level, each.handlers[:], each.propagate) for each in loggers]
    handler = Serves()
    serve = logging.getLogger("ray.serve")
    serve.handlers, serve.propagate = [handler], False
    serve.setLevel(logging.ERROR)
    yield handler
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def start(path: Path, **settings: Any) -> None:
    start_log(LogSettings(file=str(path), **settings), "r1")
    restore_print()


def test_a_failure_is_in_the_file_and_in_rays_folder(serves: Serves, tmp_path: Path) -> None:
    start(tmp_path / "log")
    try:
        raise ValueError("of a user's model")
    except ValueError:
        logging.getLogger("rayml.serve.app.app").exception("request %s failed", "seven")
    text = (tmp_path / "log").read_text()
    head, *trace = text.splitlines()
    assert head.endswith("ERROR r1 rayml.serve.app.app: request seven failed")
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ValueError: of a user's model"
    assert serves.said == ["request seven failed"]


def test_a_line_of_json_has_its_traceback_and_its_request(serves: Serves, tmp_path: Path) -> None:
    start(tmp_path / "log", format="json")
    try:
        raise ValueError("torn\nlines")
    except ValueError:
        logging.getLogger("rayml.x").exception("failed", extra={"request": "seven"})
    (line,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert line.pop("time").endswith("+00:00")
    assert "torn\nlines" in line.pop("exception")
    assert line == {
        "level": "error",
        "replica": "r1",
        "logger": "rayml.x",
        "message": "failed",
        "request": "seven",
    }
    assert serves.said


def test_what_is_printed_and_warned_of_is_told_and_chatter_is_not(
    serves: Serves, tmp_path: Path
) -> None:
    start(tmp_path / "log")
    print("a model's", "own words")
    print("and its troubles", file=sys.stderr)
    sys.stdout.write("in ")
    sys.stdout.write("parts")
    sys.stdout.flush()
    logging.getLogger("rayml.a").info("an event")
    logging.getLogger("rayml.a").debug("a detail")
    logging.getLogger("other.library").info("chatter")
    logging.getLogger("other.library").warning("news")
    logging.getLogger("ray.serve").info("chatter of Serve")
    logging.getLogger("ray.serve").error("trouble of Serve")
    text = (tmp_path / "log").read_text()
    for told in (
        "INFO r1 stdout: a model's own words",
        "WARNING r1 stderr: and its troubles",
        "stdout: in parts",
        "an event",
        "news",
        "trouble of Serve",
    ):
        assert text.count(told) == 1, told
        assert any(told.rpartition(": ")[2] in said for said in serves.said)
    for left in ("chatter", "a detail"):
        assert left not in text


def test_the_level_is_chosen(serves: Serves, tmp_path: Path) -> None:
    start(tmp_path / "log", level="error")
    logging.getLogger("rayml.a").warning("a warning")
    print("words")
    logging.getLogger("rayml.a").error("an error")
    assert (tmp_path / "log").read_text().splitlines()[0].endswith("an error")
    assert serves.said == ["an error"]


def test_lines_that_found_no_room_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LineFile(tmp_path / "log")
    handler = LineHandler(file, replica="r1", form="text")

    def say(text: str, *arguments: object) -> None:
        handler.handle(logging.LogRecord("rayml", logging.ERROR, "", 1, text, arguments, None))

    with monkeypatch.context() as patch:
        patch.setattr(file, "append", LineFile(Path("/dev/full")).append)
        say("lost")
        say("lost too")
    say("kept")
    say("wrong %d", "format")
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("2 lines of this log are lost")
    assert second.endswith("kept")
    assert third.endswith("cannot be formatted")
