"""Who copies whom, and with which values, follows from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rayml.errors import ConfigError
from rayml.search.cohort.population import check_population, exploit, explore, generator, perturbed
from rayml.search.space.parameter import Parameter
from rayml.search.space.space import Space
from rayml.settings.search import (
    CohortSettings,
    PopulationSettings,
    PrunerSettings,
    SamplerSettings,
    SearchSettings,
)

SETTINGS = st.builds(
    PopulationSettings,
    quantile=st.floats(0.01, 0.5),
    perturb=st.floats(1.01, 10.0),
    resample=st.floats(0.0, 1.0),
)
VALUES = st.dictionaries(st.integers(0, 500), st.floats(-1e6, 1e6), max_size=40)


def space(**leaves: Mapping[str, Any]) -> tuple[Parameter, ...]:
    return Space.parse({"model": leaves}).parameters


RANGES = space(
    real={"type": "float", "low": -1.0, "high": 2.0},
    log={"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    stepped={"type": "float", "low": 0.1, "high": 0.7, "step": 0.1},
    whole={"type": "int", "low": 1, "high": 9},
    steps={"type": "int", "low": 16, "high": 64, "step": 16},
    scale={"type": "int", "low": 1, "high": 1000, "log": True},
    choice={"type": "categorical", "choices": [None, 1, 1.5, "x"]},
)


@given(VALUES, SETTINGS, st.integers(0, 2**63))
def test_the_worst_copy_the_best(
    values: dict[int, float], settings: PopulationSettings, seed: int
) -> None:
    copies = exploit(values, settings, generator(seed, 0, 1))
    assert copies == exploit(values, settings, generator(seed, 0, 1))
    count = max(1, math.floor(settings.quantile * len(values)))
    losers, winners = {c.loser for c in copies}, {c.winner for c in copies}
    assert len(losers) == len(copies) <= count
    assert not losers & winners
    for copy in copies:
        assert values[copy.winner] < values[copy.loser]
        assert sum(value < values[copy.winner] for value in values.values()) < count
        assert sum(value > values[copy.loser] for value in values.values()) < count


@given(VALUES, SETTINGS)
def test_every_lane_of_the_worst_quantile_copies_unless_it_is_as_good(
    values: dict[int, float], settings: PopulationSettings
) -> None:
    assume(len(set(values.values())) == len(values) > 1)
    count = max(1, math.floor(settings.quantile * len(values)))
    worst = sorted(values, key=lambda number: -values[number])[:count]
    copies = exploit(values, settings, generator(0, 0, 1))
    assert [copy.loser for copy in copies] == sorted(worst)


@pytest.mark.parametrize("values", [{}, {3: 1.0}, {3: 1.0, 4: 1.0, 5: 1.0}])
def test_no_one_copies_where_no_one_is_better(values: dict[int, float]) -> None:
    assert exploit(values, PopulationSettings(), generator(0, 0, 1)) == []


def test_winners_are_drawn() -> None:
    values = {number: float(number) for number in range(8)}
    settings = PopulationSettings(quantile=0.25)
    seen = {
        (copy.loser, copy.winner)
        for epoch in range(100)
        for copy in exploit(values, settings, generator(0, 0, epoch))
    }
    assert seen == {(loser, winner) for loser in (6, 7) for winner in (0, 1)}


@given(SETTINGS, st.integers(0, 2**32), st.data())
def test_values_stay_within_the_space(
    settings: PopulationSettings, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    params = explore(_ends(data), RANGES, PopulationSettings(resample=1.0), rng)
    for _ in range(5):
        params = explore(params, RANGES, settings, rng)
        for parameter in RANGES:
            assert parameter.contains(params[parameter.key]), (parameter.key, params)


def _ends(data: st.DataObject) -> dict[str, Any]:
    return {each.key: data.draw(st.sampled_from(each.extremes())) for each in RANGES}


def test_values_that_may_not_change_stay() -> None:
    params = {"model.real": 1.0, "train.seed": 3}
    found = explore(params, RANGES, PopulationSettings(), np.random.default_rng(0))
    assert found.keys() == params.keys()
    assert found["train.seed"] == 3
    assert found["model.real"] != 1.0


@pytest.mark.parametrize(
    ("key", "value", "factor", "wanted"),
    [
        ("real", 0.5, 2.0, 1.0),
        ("real", 1.5, 2.0, 2.0),
        ("real", 0.0, 2.0, 0.0),
        ("log", 1e-3, 0.5, 5e-4),
        ("log", 1e-5, 0.5, 1e-5),
        ("stepped", 0.2, 1.2, 0.3),
        ("stepped", 0.6, 1.2, 0.7),
        ("stepped", 0.1, 0.8, 0.1),
        ("whole", 1, 1.2, 2),
        ("whole", 5, 1.2, 6),
        ("steps", 32, 1.2, 48),
        ("steps", 64, 1.2, 64),
        ("scale", 100, 1.2, 120),
        ("choice", "x", 1.2, "x"),
    ],
)
def test_a_number_is_perturbed(key: str, value: Any, factor: float, wanted: Any) -> None:
    [parameter] = [each for each in RANGES if each.key == f"model.{key}"]
    found = perturbed(value, parameter, factor)
    assert found == pytest.approx(wanted) if isinstance(wanted, float) else found == wanted
    assert type(found) is type(wanted)


def test_a_drawn_value_is_anywhere_in_its_range() -> None:
    rng = np.random.default_rng(0)
    start = {"model.whole": 5, "model.log": 1e-3, "model.choice": 1, "model.stepped": 0.1}
    drawn = [explore(start, RANGES, PopulationSettings(resample=1.0), rng) for _ in range(400)]
    assert {each["model.whole"] for each in drawn} == set(range(1, 10))
    assert {each["model.choice"] for each in drawn} == {None, 1, 1.5, "x"}
    assert len({each["model.stepped"] for each in drawn}) == 7
    logs = [math.log10(float(each["model.log"])) for each in drawn]  # type: ignore[arg-type]
    assert np.histogram(logs, bins=4, range=(-5, -1))[0].min() > 60


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "tpe"}, r"search\.sampler\.name=tpe"),
        ({"pruner": "asha"}, r"search\.pruner\.name=asha"),
        ({"lanes": 1}, r"search\.cohort\.lanes=1"),
        ({"patience": 3}, r"train\.patience"),
        ({"searched": ["train.epochs"]}, r"space\.train\.epochs"),
        ({"searched": ["train.patience"]}, r"space\.train\.patience"),
    ],
)
def test_trials_that_cannot_be_a_population(changes: dict[str, Any], words: str) -> None:
    def check(**given_: Any) -> None:
        train = {"patience": given_.pop("patience", None)}
        searched = given_.pop("searched", ["model.width"])
        search = {
            "sampler": SamplerSettings(name=given_.pop("sampler", "random")),
            "pruner": PrunerSettings(name=given_.pop("pruner", "none")),
            "cohort": CohortSettings(lanes=given_.pop("lanes", "auto")),
        }
        check_population(SearchSettings(**search, **given_), train, searched)

    check(population=PopulationSettings())
    check(**changes)
    with pytest.raises(ConfigError, match=words):
        check(population=PopulationSettings(), **changes)
