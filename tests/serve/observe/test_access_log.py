"""The access log."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rayml.serve.observe.access_log import AccessLog
from rayml.serve.observe.line_file import LineFile
from tests.serve.records import record


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_answer_becomes_a_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    log = AccessLog(LineFile(path), replica="r1")
    before = datetime.now(UTC).timestamp()
    log.observe(record(started=time.perf_counter(), ended=time.perf_counter(), holder="shop"))
    log.flush()
    (line,) = lines(path)
    assert abs(datetime.fromisoformat(line.pop("time")).timestamp() - before) < 60
    assert line.pop("seconds") >= 0
    assert line == {
        "id": "seven",
        "replica": "r1",
        "client": "10.0.0.7",
        "key": "shop",
        "method": "POST",
        "path": "/predict",
        "route": "/predict",
        "status": 200,
        "model": "boxes",
        "version": "3",
        "rows": 3,
        "bytes_in": 40,
        "bytes_out": 90,
    }
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_nothing_is_written_before_it_is_flushed_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(LineFile(path), replica="r1")
    log.flush()
    assert not path.exists()
    log.observe(record())
    assert not path.exists()
    log.close()
    assert len(lines(path)) == 1
    # Nothing is written twice.
    log.close()
    assert len(lines(path)) == 1


def test_a_path_of_any_text_and_length_is_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(LineFile(path), replica="r1")
    log.observe(record(path='/a\n"b' + "x" * 10_000))
    log.close()
    (line,) = lines(path)
    assert line["path"].startswith('/a\n"b')
    assert len(line["path"]) == 500


@pytest.mark.parametrize("gone", ["renamed", "removed"])
def test_a_file_that_was_rotated_is_opened_anew(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(LineFile(path), replica="r1")
    log.observe(record(id="before"))
    log.flush()
    if gone == "renamed":
        path.rename(tmp_path / "access.jsonl.1")
    else:
        path.unlink()
    log.observe(record(id="after"))
    log.close()
    assert [line["id"] for line in lines(path)] == ["after"]
    if gone == "renamed":
        assert [line["id"] for line in lines(tmp_path / "access.jsonl.1")] == ["before"]


def test_replicas_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"

    def write(replica: str) -> None:
        log = AccessLog(LineFile(path), replica=replica)
        for turn in range(50):
            for number in range(20):
                log.observe(record(id=f"{replica}-{turn}-{number}"))
            log.flush()
        log.close()

    writers = [threading.Thread(target=write, args=(f"r{n}",)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    ids = [line["id"] for line in lines(path)]
    assert len(ids) == len(set(ids)) == 4 * 50 * 20


def test_stdout_is_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(None, replica="r1")
    log.observe(record())
    log.close()
    assert json.loads(capsys.readouterr().out)["id"] == "seven"


def test_lines_that_cannot_be_written_are_told_and_let_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(LineFile(path), replica="r1")

    def full(file: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING, logger="rayml.serve.observe.access_log"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for ids in (("lost", "lost too"), ("lost later",)):
                for each in ids:
                    log.observe(record(id=each))
                log.flush()
        assert "2 lines of the access log are lost: No space left" in caplog.text
        assert caplog.text.count("lost") == 1
        assert log.lost == 3
    log.observe(record(id="kept"))
    log.close()
    assert [line["id"] for line in lines(path)] == ["kept"]
    assert "written again; 3 lines of it are lost" in caplog.text
