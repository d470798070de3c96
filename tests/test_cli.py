"""The command line: what it takes, what it refuses, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml import __version__
from rayml.cli import VERBS, Verb, main, parse
from rayml.errors import ConfigError
from rayml.stages.context import Context


def test_words_are_told_apart() -> None:
    call = parse(["report", "data=wine", "NAME", "+a.b=1", "~train.patience", "--cfg", "job"])
    assert (call.verb, call.argument, call.show_config) == ("report", "NAME", True)
    assert call.overrides == ("data=wine", "+a.b=1", "~train.patience")


def test_config_folders_may_be_repeated() -> None:
    call = parse(["run", "--config-dir", "a", "x=1", "--config-dir", "b", "y=2"])
    assert call.config_dirs == (Path("a"), Path("b"))
    assert call.overrides == ("x=1", "y=2")


@pytest.mark.parametrize("verb", ["run", "check", "prepare", "sweep"])
def test_a_stray_argument_is_refused(verb: str) -> None:
    with pytest.raises(ConfigError, match="takes no argument"):
        parse([verb, "stray"])


def test_a_second_argument_is_refused() -> None:
    with pytest.raises(ConfigError, match="takes one SWEEP"):
        parse(["report", "one", "two"])


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--no-such-flag"], ["run", "--cfg", "all"]])
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_help_lists_verbs_and_groups(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert all(verb in shown for verb in VERBS)
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "breast_cancer" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_cfg_prints_the_composed_config(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    assert main(["run", "--cfg", "job", "data=iris"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["name"] == "iris"


def test_cfg_prints_problems_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cfg", "job", "train.epochs=-1"]) == 2
    captured = capsys.readouterr()
    assert "train.epochs" in captured.err
    assert "epochs: -1" in captured.out


def test_a_config_error_is_a_message_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "train.epochs=0"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("rayml: 1 problem in the config")
    assert "Traceback" not in captured.err


def test_starting_the_command_line_loads_no_heavy_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, rayml.cli;"
        "print([m for m in ('torch', 'ray', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sweep_that_goes_on_is_told_apart() -> None:
    call = parse(["sweep", "resume=first", "search.concurrency=1"])
    assert (call.resume, call.extend) == ("first", None)
    assert call.overrides == ("search.concurrency=1",)
    call = parse(["sweep", "search.trials=+5", "extend=first"])
    assert (call.resume, call.extend) == (None, "first")
    assert parse(["run", "resume=first"]).overrides == ("resume=first",)


@pytest.mark.parametrize("words", [["resume="], ["resume=a", "resume=b"], ["resume=a", "extend=a"]])
def test_one_sweep_goes_on_at_a_time(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse(["sweep", *words])


def test_a_sweep_that_is_not_there_does_not_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "resume=absent", f"paths.sweeps={tmp_path}"]) == 2
    assert "'absent'" in capsys.readouterr().err


def test_the_help_of_sweep_tells_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    shown = capsys.readouterr().out
    assert "resume=NAME" in shown
    assert "extend=NAME search.trials=+100" in shown


def test_a_key_is_printed_once_and_stored_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    for holder, scopes in (("orders", "predict"), ("ops:predict,admin", "predict,admin")):
        assert main(["key", holder, f"serve.keys.file={file}"]) == 0
        token = capsys.readouterr().out.strip()
        assert token not in file.read_text()
        assert f"{holder.partition(':')[0]} {scopes} sha256:" in file.read_text()
    assert main(["key", "orders:write", f"serve.keys.file={file}"]) == 1
    assert main(["key", "orders"]) == 2
    assert "serve.keys.file=PATH" in capsys.readouterr().err


def test_the_printed_config_holds_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["key", "a", f"serve.keys.file={tmp_path / 'keys'}"])
    token = capsys.readouterr().out.strip()
    monkeypatch.setenv("KEYS", f"a predict {token}")
    keys = [f"serve.keys.file={tmp_path / 'keys'}", "serve.keys.variable=KEYS"]
    assert main(["serve", "--cfg", "job", "serve.host=0.0.0.0", *keys]) == 0
    shown = capsys.readouterr().out
    assert "variable: KEYS" in shown
    assert token not in shown


def test_an_endpoint_for_others_is_told_to_have_a_key_and_nothing_else(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "serve.host=0.0.0.0"]) == 2
    said = capfd.readouterr().err
    assert "others can reach 0.0.0.0" in said
    assert "`rayml key NAME serve.keys.file=PATH`" in said
    assert "{" not in said
    assert len(said.splitlines()) == 2


def test_a_failure_of_ray_is_one_line_that_names_what_is_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.exceptions import ActorDiedError

    def fail(context: Context) -> None:
        context.so_far.say("version 3 is registered; serve it with `rayml serve`")
        raise ActorDiedError

    monkeypatch.setitem(VERBS, "run", Verb(fail, "fail"))
    assert main(["run"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("rayml: a process of Ray has ended")
    assert lines[1] == "rayml: version 3 is registered; serve it with `rayml serve`"


def test_an_error_of_our_own_making_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Context) -> None:
        raise AssertionError("a bug")

    monkeypatch.setitem(VERBS, "run", Verb(fail, "fail"))
    with pytest.raises(AssertionError):
        main(["run"])
