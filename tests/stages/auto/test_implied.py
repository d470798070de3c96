"""When a command means `space=auto`."""

from __future__ import annotations

import pytest

from rayml.stages.auto.implied import AUTO, implied


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["data=wine"],
        ["search.trials=4", "train.epochs=2"],
        ["data.target=model"],
        ["name=a", "train=fast"],
    ],
)
def test_a_run_that_names_no_model_and_no_space_is_auto(words: list[str]) -> None:
    assert implied("run", words) == (AUTO,)


@pytest.mark.parametrize(
    "words",
    [
        ["model=mlp"],
        ["model.width=64"],
        ["+model.extra=1"],
        ["space=none"],
        ["space.train.optimizer.lr.low=0.1"],
        ["~space.model"],
        ["experiment=mine"],
        ["+preset=mine"],
        ["search=pbt"],
    ],
)
def test_what_is_named_stays(words: list[str]) -> None:
    assert implied("run", words) == ()


@pytest.mark.parametrize("verb", ["sweep", "check", "register", "serve"])
def test_other_commands_mean_what_they_say(verb: str) -> None:
    assert implied(verb, []) == ()
