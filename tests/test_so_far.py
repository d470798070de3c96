"""How a command that did not end well is gone on with."""

from __future__ import annotations

import shlex
from pathlib import Path

from rayml.cli import parse
from rayml.so_far import SoFar, command

WORDS = ("--config-dir", "my conf", "data=wine", "paths.sweeps=s", "search.trials=3", "serve=one")


def test_the_latest_words_count(tmp_path: Path) -> None:
    so_far = SoFar()
    assert so_far.words == ""
    so_far.say("a")
    so_far.say("b", once=tmp_path / "journal")
    assert so_far.words == ""
    (tmp_path / "journal").touch()
    assert so_far.words == "b"


def test_a_command_takes_over_what_it_is_about() -> None:
    printed = command("sweep", "resume=first", words=WORDS, about=("paths",))
    assert printed == "`rayml sweep resume=first --config-dir 'my conf' paths.sweeps=s`"
    call = parse(shlex.split(printed.strip("`"))[1:])
    assert (call.resume, call.overrides) == ("first", ("paths.sweeps=s",))
    assert call.config_dirs == (Path("my conf"),)
    assert command("serve", words=WORDS, about=("data", "serve")).endswith(
        " 'my conf' data=wine serve=one`"
    )
