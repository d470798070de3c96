"""A context takes the name of a stored sweep's model from the sweep's own config."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.config.compose import compose
from rayml.stages.context import Context


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "wine-1"
    folder.mkdir()
    (folder / "config.yaml").write_text(compose(["data=wine"]).yaml())
    return folder


def context(*words: str) -> Context:
    return Context(compose(list(words)), words=words)


def test_a_model_has_the_name_of_its_sweeps_config(sweep: Path) -> None:
    assert context().config.name == "breast_cancer"
    assert context().named_as(sweep).config.name == "wine"
    assert context("data=adult").named_as(sweep).config.name == "wine"


@pytest.mark.parametrize("word", ["name=mine", "data.name=mine"])
def test_the_user_may_give_another_name(sweep: Path, word: str) -> None:
    assert context(word).named_as(sweep).config.name == "mine"


def test_nothing_else_changes(sweep: Path) -> None:
    own = context("registry.promote=never", "confirm.top=2")
    named = own.named_as(sweep)
    assert named.config.registry.promote == "never"
    assert named.composed.plain == {**own.composed.plain, "name": "wine"}
    assert (named.watch is own.watch, named.so_far is own.so_far) == (True, True)
