"""Values of a space are the same in the study, its journal and the trial's config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from rayml.errors import InvalidConfigError
from rayml.search.journal.journal import read_study
from rayml.search.sampling.axis import Axis
from rayml.search.space.fit import check_fit
from rayml.search.space.parameter import snapped
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import SamplerSettings
from rayml.train.build import apply, as_scalar
from tests.search.plans import tell

LAYERS = [[64, 64], [128], []]
BLOCKS = [{"kind": "wide", "units": [3, 4]}, {"kind": "deep", "units": []}]
CONFIG: dict[str, Any] = {
    "model": {"_target_": "m", "layers": [32], "block": {}, "scale": 0.5, "mode": "on"},
    "task": {"name": "binary", "metric": None, "metrics": {}},
    "train": {},
}
TREE: dict[str, Any] = {
    "model.layers": {"type": "categorical", "choices": LAYERS},
    "model.block": {
        "type": "categorical",
        "choices": BLOCKS,
        "when": {"model.layers": [[128], []]},
    },
    "model.scale": {"type": "float", "low": 0.1, "high": 1.0, "step": 0.3},
}
STEPS = {0.1, 0.4, 0.7, 1.0}


@pytest.mark.parametrize("sampler", ["tpe", "random", "optuna_tpe", "grid", "qmc"])
def test_study_journal_and_config_hold_the_same_values(
    sampler: str, tmp_path: Path, make_study: Callable[..., Study]
) -> None:
    space = Space.parse(TREE)
    check_fit(space, CONFIG)
    settings = SamplerSettings(name=sampler, startup_trials=5)  # type: ignore[arg-type]
    made = make_study(tree=TREE, trial=CONFIG, sampler=settings, seed=3)
    plan = replace(made._plan, journal=tmp_path / "own.log")
    study = Study(plan)
    asked = []
    for value in range(24):
        [trial] = study.ask() or [None]
        if trial is None:
            break  # a grid has no more
        asked.append(trial)
        tell(study, trial.number, "COMPLETE", value=float(value))
    study.close()
    written = read_study(plan.journal).get_trials()
    assert [dict(each.params) for each in asked] == [each.params for each in written]
    seen = set()
    for each in asked:
        assert space.contains(each.params, CONFIG)
        model = apply(CONFIG, each.params)["model"]
        assert model["layers"] in LAYERS
        assert model["scale"] in STEPS
        assert ("model.block" in each.params) == (model["layers"] != [64, 64])
        assert model["block"] in (BLOCKS if "model.block" in each.params else [{}])
        seen.add(model["scale"])
    assert seen == STEPS
    again = Study(plan, resume=True)
    assert again.resumed().done == len(asked)
    again.close()


@given(
    low=st.integers(-50, 50),
    step=st.integers(1, 30),
    count=st.integers(1, 40),
    share=st.floats(0, 1),
)
def test_every_step_is_the_decimal_number(low: int, step: int, count: int, share: float) -> None:
    start, width = Decimal(low) / 100, Decimal(step) / 100
    values = [float(start + index * width) for index in range(count + 1)]
    found = FloatDistribution(values[0], values[-1], step=float(width))
    axis = Axis(found)
    assert axis.decode(share) in values
    assert axis.decode(1.0) == values[-1]
    for index, value in enumerate(values):
        assert snapped(values[0] + index * float(width), found) == value
        assert axis.decode(axis.encode(value)) == value


def test_a_text_stays_one_beside_a_text() -> None:
    config = {**CONFIG, "model": {**CONFIG["model"], "layers": "[1]"}}
    assert apply(config, {"model.layers": "[2]"})["model"]["layers"] == "[2]"
    assert apply(CONFIG, {"model.layers": as_scalar((2, 3))})["model"]["layers"] == [2, 3]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"model.layers": {"type": "categorical", "choices": [64]}}, "search the values in it, or"),
        ({"model.scale": {"type": "categorical", "choices": [[1]]}}, r"\[1\] is not float or int"),
        ({"model.mode": {"type": "categorical", "choices": [True]}}, "write them in quotes"),
        ({"model.scale": {"type": "categorical", "choices": ["1e-3"]}}, "without quotes"),
        (
            {
                "model.block": {"type": "categorical", "choices": BLOCKS},
                "model.block.kind": {"type": "categorical", "choices": ["wide"]},
            },
            "searched as a whole",
        ),
    ],
)
def test_what_does_not_fit_is_told(tree: dict[str, Any], words: str) -> None:
    config = {**CONFIG, "model": {**CONFIG["model"], "block": {"kind": "wide"}}}
    with pytest.raises(InvalidConfigError, match=words):
        check_fit(Space.parse(tree), config)
