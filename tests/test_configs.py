"""Every shipped option of every config group composes, and its components bind."""

from __future__ import annotations

import re

import pytest

from rayml.config.components.build import check
from rayml.config.compose import compose, groups
from rayml.search.sampling.samplers import check_sampler
from rayml.search.space.fit import check_fit
from rayml.search.space.space import Space
from rayml.settings.search import SamplerSettings
from rayml.stages.checks.preflight import trial_config
from rayml.train.families import all_models

# What the generic options leave to the user.
GIVEN = {
    "csv": ["data.name=mine", "data.source.paths=rows.csv"],
    "parquet": ["data.name=mine", "data.source.paths=rows.parquet"],
    "sql": ["data.name=mine", "data.source.url=sqlite:///x.db", "data.source.query=select 1"],
}
GENERIC = ["data.task=binary", "data.target=y"]
OPTIONS = [(group, option) for group, options in groups().items() for option in options]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=str)
def test_option_composes_and_binds(group: str, option: str) -> None:
    overrides = [f"{group}={option}"]
    if group == "data" and option in GIVEN:
        overrides += GIVEN[option] + GENERIC
    config = compose(overrides).typed()
    check(config.data.source)
    for node in all_models(config.model).values():
        check(node, "shape", "outputs")
    for node in config.task.metrics.values():
        check(node)


@pytest.mark.parametrize("option", groups()["space"])
def test_space_fits_a_model(option: str) -> None:
    model = [f"model={option}"] if option in groups()["model"] else []
    plain = compose([*model, f"space={option}"]).plain
    space = Space.parse(plain["space"])
    check_fit(space, trial_config(plain))
    check_sampler(SamplerSettings(), space, trial_config(plain))


def test_names_of_options_are_plain_words() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]+", option) for _, option in OPTIONS)
