"""What the commands print reads well in a file and in a terminal."""

from __future__ import annotations

import shlex

import pytest

from rayml.stages import show
from rayml.timing import Stopwatch


def test_markup_is_taken_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show.line("[red]orders[/red] [0]")
    assert capsys.readouterr().out == "[red]orders[/red] [0]\n"


def test_a_request_is_shown_as_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.request("http://127.0.0.1:1/predict", {"who": "it's me"}, 200, b'{"a": 1}')
    command, answer = capsys.readouterr().out.splitlines()
    assert shlex.split(command)[-1] == '{"who": "it\'s me"}'
    assert answer == 'HTTP 200: {"a": 1}'


def test_timings_name_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Stopwatch()
    watch.add("sweep", 2.0)
    show.timings(watch, {"first_epoch": 4.5, "total": 2.0, "train": 1.25})
    out = capsys.readouterr().out
    assert "sweep" in out
    assert "train 1.2" in out
    assert "the first epoch was trained 4.5 s after the command" in out
