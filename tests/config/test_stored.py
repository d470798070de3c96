"""Overrides on a config that was composed and stored before."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.config.components.trust import ONLY_OWN
from rayml.config.compose import Composed, compose
from rayml.config.stored import changed_keys, read_stored, recompose
from rayml.errors import ConfigError, InvalidConfigError


@pytest.fixture
def stored(tmp_path: Path) -> Composed:
    path = tmp_path / "config.yaml"
    path.write_text(compose(["data=wine", "search.trials=7"]).yaml())
    return read_stored(path).trusted(ONLY_OWN)


def test_no_override_changes_nothing(stored: Composed) -> None:
    assert recompose(stored, []) == stored


def test_keys_are_set_added_and_removed(stored: Composed) -> None:
    after = recompose(
        stored,
        [
            "search.trials=9",
            "space.model.width.choices=[16,32]",
            "+space.train.clip_norm={type: float, low: 0.5, high: 2.0}",
            "~space.model.depth",
        ],
    )
    assert after.problems == ()
    assert after.plain["search"]["trials"] == 9
    assert sorted(changed_keys(stored.plain, after.plain)) == [
        "search.trials",
        "space.model.depth",
        "space.model.width.choices",
        "space.train.clip_norm",
    ]


def test_an_option_of_a_group_replaces_its_section(stored: Composed) -> None:
    after = recompose(stored, ["space=none"])
    assert after.plain["space"] == {}
    assert after.plain["search"]["trials"] == 7


def test_all_overrides_that_do_not_apply_are_told(stored: Composed) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        recompose(stored, ["search.trails=1", "~search.nothing", "space=absent", "a=[", "seed=3"])
    assert len(caught.value.problems) == 4
    assert "search.trails=1" in caught.value.problems[0]


def test_bad_values_are_problems_of_the_config(stored: Composed) -> None:
    [problem] = recompose(stored, ["search.trials=0"]).problems
    assert problem.startswith("search.trials")


@pytest.mark.parametrize(
    "space",
    [
        r'"\x24{oc.create:\'{model._target_: {type: categorical, choices: [os.system]}}\'}"',
        r'{model.width: {type: int, low: 1, "\u0024{oc.env:HOME}": 2}}',
        r'{model.width: {type: categorical, choices: [1, "\x24\x7Boc.env:HOME}"]}}',
    ],
)
def test_an_interpolation_is_refused_however_it_is_written(tmp_path: Path, space: str) -> None:
    text = compose(["data=wine", "space=none"]).yaml()
    assert "space: {}\n" in text
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("space: {}\n", f"space: {space}\n".replace(r"\'", "'")))
    assert "${" not in path.read_text()
    with pytest.raises(ConfigError, match="interpolations"):
        read_stored(path)
