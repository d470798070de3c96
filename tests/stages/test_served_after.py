from __future__ import annotations

import shlex
from types import SimpleNamespace

import pytest

from rayml.config.compose import compose
from rayml.stages import serve
from rayml.stages.context import Context

WORDS = (
    "data=csv",
    "data.source.paths=a b.csv",
    "data.target=y",
    "data.task=binary",
    "name=orders",
    "search.trials=2",
)


def test_the_way_to_serve_a_version_that_is_no_champion_names_its_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Context(compose(list(WORDS)), words=WORDS)
    release = SimpleNamespace(champion=1)
    monkeypatch.setattr(serve, "_registry", lambda _: SimpleNamespace(release=lambda _: release))
    assert serve.served_after(context, 1) == "champion"
    assert capsys.readouterr().out == ""
    assert serve.served_after(context, 2) == "champion"
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("serving the champion, version 1; `rayml serve 2 ")
    assert shlex.split(told.split("`")[1])[3:] == list(WORDS[:-1])
