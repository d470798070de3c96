"""Settings of training are checked when they are made."""

from __future__ import annotations

import pytest

from rayml.errors import InvalidConfigError
from rayml.train.build import train_settings
from rayml.train.loop.results import fixed


def test_steps_are_rounded_up_to_whole_stretches() -> None:
    settings = train_settings({"steps": 1050, "eval_steps": 100})
    assert (settings.stretches, settings.stretch) == (11, 100)
    settings = train_settings({"epochs": 7})
    assert (settings.stretches, settings.stretch) == (7, None)


@pytest.mark.parametrize("steps", [0, -5, 1.5, 99])
def test_steps_without_an_evaluation_are_refused(steps: float) -> None:
    with pytest.raises(InvalidConfigError, match="steps"):
        train_settings({"steps": steps, "eval_steps": 100})


def test_what_depends_on_steps_is_said_where_they_count() -> None:
    assert not fixed(train_settings({})).keys() & {"steps", "eval_steps"}
    assert fixed(train_settings({"steps": 200}))["eval_steps"] == 100
