from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rayml.config.compose import compose
from rayml.stages.context import Context
from rayml.stages.sweeps.sizes import with_sizes
from rayml.types import FeatureShape


def data(rows: int) -> Any:
    shape = FeatureShape(8, (3,))
    return SimpleNamespace(preprocessor=SimpleNamespace(shape=shape), rows={"train": rows})


def context(*overrides: str, **changes: Any) -> Context:
    return Context(composed=compose(["data=diabetes", *overrides]), **changes)


def test_sizes_that_are_auto_become_numbers_of_the_stored_config(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = context("model=tabm", "model.k=auto", "model.width=auto")
    few, many = with_sizes(given, data(300)), with_sizes(given, data(2_000_000_000))
    assert many.composed.plain["model"]["k"] == 4
    assert many.composed.plain["model"]["width"] == 64
    assert few.composed.plain["model"]["k"] > 4
    assert "auto" not in few.composed.yaml().partition("model:")[2].partition("bins")[0]
    assert "model.k=4 model.width=64, as this machine" in capsys.readouterr().out
    assert given.composed.plain["model"]["k"] == "auto"


def test_one_of_them_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = with_sizes(context("model=tabm", "model.width=auto"), data(2_000_000_000))
    assert chosen.composed.plain["model"]["k"] == 8
    assert chosen.composed.plain["model"]["width"] == 64
    assert "model.k" not in capsys.readouterr().out


def test_a_trial_of_so_many_steps_is_as_long_whatever_the_rows() -> None:
    given = context("model=tabm", "model.k=auto", "model.width=auto", "train.steps=1000000000")
    assert with_sizes(given, data(300)).composed.plain["model"]["k"] == 4


@pytest.mark.parametrize(
    "given",
    [
        context("model=tabm"),
        context("model=mlp"),
        context("model=tabm", "model.k=auto", resumed=Path("sweep")),
    ],
    ids=["numbers", "another model", "resumed"],
)
def test_other_configs_stay(given: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_sizes(given, data(100)) is given
    assert capsys.readouterr().out == ""
