"""A space is read whole or refused with all its problems; conditions decide what is searched."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import InvalidConfigError
from rayml.search.space.space import Space, lookup

CONFIG: dict[str, Any] = {"model": {"kind": "mlp"}, "train": {"optimizer": {"name": "adamw"}}}

CONDITIONAL = {
    "train": {
        "optimizer": {
            "momentum": {
                "type": "float",
                "low": 0.0,
                "high": 0.9,
                "when": {"train.optimizer.name": "sgd"},
            },
            "name": {"type": "categorical", "choices": ["sgd", "adamw"]},
        }
    },
}


def suggest(space: Space, config: dict[str, Any] = CONFIG, **values: Any) -> dict[str, Any]:
    trial = optuna.trial.FixedTrial({key.replace("__", "."): v for key, v in values.items()})
    return space.suggest(trial, config)  # type: ignore[arg-type]


def test_leaves_mirror_the_config_and_may_be_dotted() -> None:
    leaf = {"type": "int", "low": 1, "high": 3}
    nested = Space.parse({"train": {"optimizer": {"lr": leaf}}, "model": {"depth": leaf}})
    dotted = Space.parse({"train.optimizer.lr": leaf, "model.depth": leaf})
    assert nested == dotted
    assert nested.keys == ("train.optimizer.lr", "model.depth")


def test_a_section_may_have_a_key_named_type() -> None:
    space = Space.parse({"model": {"type": {"type": "categorical", "choices": ["a", "b"]}}})
    assert space.keys == ("model.type",)


def test_the_written_space_is_read_back() -> None:
    space = Space.parse(CONDITIONAL)
    assert Space.parse(space.tree()) == space


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        ({"type": "bool"}, "unknown type 'bool'; use float, int or categorical"),
        ({"type": "int", "low": 1, "high": 2, "lo": 3}, "unknown field 'lo'"),
        ({"type": "int", "low": 1.5, "high": 2}, "low is not an integer"),
        ({"type": "int", "low": True, "high": 2}, "low is not an integer"),
        ({"type": "float", "low": 0, "high": float("nan")}, "high is not a number"),
        ({"type": "float", "high": 1}, "low is not a number: None"),
        ({"type": "float", "low": 2, "high": 1}, "low 2 is above high 1"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "low of a log range is not above 0"),
        ({"type": "float", "low": 1, "high": 2, "log": True, "step": 1}, "both log and step"),
        ({"type": "float", "low": 0, "high": 1, "log": "yes"}, "log is neither true nor false"),
        ({"type": "int", "low": 1, "high": 4, "step": 0}, "step is not above 0"),
        ({"type": "int", "low": 1, "high": 4, "step": 2}, "not a whole number of steps of 2"),
        ({"type": "categorical"}, "not a list with a value"),
        ({"type": "categorical", "choices": [{1, 2}]}, "use numbers, strings"),
        ({"type": "categorical", "choices": [[1], "[1]"]}, "given twice"),
        ({"type": "float", "low": "1e-3", "high": 1}, "'1e-3'; write it without quotes"),
        ({"type": "categorical", "choices": [1, 1]}, "given twice"),
        ({"type": "categorical", "choices": [1], "when": 3}, "when is not a mapping"),
        (
            {"type": "categorical", "choices": [1], "when": {"a": []}},
            "when.a is neither a value nor values",
        ),
        (3, "not a mapping with a type"),
    ],
)
def test_a_wrong_leaf_is_refused_by_its_key(leaf: object, words: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        Space.parse({"model": {"width": leaf}})
    [problem] = caught.value.problems
    assert problem.startswith("space.model.width: ")
    assert words in problem


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        Space.parse({"a": {"type": "x"}, "b": 3, "c": {"type": "int", "low": 1, "high": 0}})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "space.a",
        "space.b",
        "space.c",
    ]


def test_a_key_is_searched_once() -> None:
    leaf = {"type": "int", "low": 1, "high": 3}
    with pytest.raises(InvalidConfigError, match=r"space\.a\.b: searched twice"):
        Space.parse({"a": {"b": leaf}, "a.b": leaf})


def test_a_condition_that_never_holds_is_refused() -> None:
    tree = {**CONDITIONAL, "a": {"type": "int", "low": 1, "high": 2}}
    tree["a"]["when"] = {"train.optimizer.name": "adam"}
    with pytest.raises(InvalidConfigError, match=r"space\.a: when\.train\.optimizer\.name never"):
        Space.parse(tree)


def test_conditions_in_a_circle_are_refused() -> None:
    leaf = {"type": "int", "low": 1, "high": 2}
    with pytest.raises(InvalidConfigError, match="circle over a, b"):
        Space.parse({"a": {**leaf, "when": {"b": 1}}, "b": {**leaf, "when": {"a": 1}}})


def test_a_condition_on_a_searched_key() -> None:
    space = Space.parse(CONDITIONAL)
    with_sgd = suggest(space, train__optimizer__name="sgd", train__optimizer__momentum=0.5)
    assert with_sgd == {"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.5}
    with_adamw = suggest(space, train__optimizer__name="adamw")
    assert with_adamw == {"train.optimizer.name": "adamw"}


def test_a_condition_on_a_fixed_key() -> None:
    leaf = {"type": "int", "low": 1, "high": 3, "when": {"model.kind": ["mlp", "resnet"]}}
    space = Space.parse({"model": {"depth": leaf}})
    assert suggest(space, model__depth=2) == {"model.depth": 2}
    assert suggest(space, {"model": {"kind": "linear"}}) == {}


def test_what_hangs_on_an_inactive_key_is_inactive() -> None:
    space = Space.parse(
        {
            "a": {"type": "categorical", "choices": [True, False]},
            "b": {"type": "categorical", "choices": [None, 1], "when": {"a": True}},
            "c": {"type": "int", "low": 0, "high": 1, "when": {"b": None}},
        }
    )
    assert suggest(space, a=False) == {"a": False}
    assert suggest(space, a=True, b=None, c=1) == {"a": True, "b": None, "c": 1}


def test_true_is_not_one() -> None:
    leaf = {"type": "int", "low": 0, "high": 1, "when": {"a": 1}}
    space = Space.parse({"a": {"type": "categorical", "choices": [True, 1]}, "b": leaf})
    assert suggest(space, a=True) == {"a": True}
    assert suggest(space, a=1, b=0) == {"a": 1, "b": 0}


def test_contains_knows_ranges_steps_types_and_conditions() -> None:
    space = Space.parse(CONDITIONAL)
    assert space.contains({"train.optimizer.name": "adamw"}, CONFIG)
    assert not space.contains({"train.optimizer.name": "adam"}, CONFIG)
    assert not space.contains({"train.optimizer.name": "sgd"}, CONFIG)
    assert not space.contains({}, CONFIG)
    stepped = Space.parse({"x": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1}})
    assert stepped.contains({"x": 0.7 - 0.5}, CONFIG)
    assert not stepped.contains({"x": 0.15}, CONFIG)
    assert not stepped.contains({"x": 0.1, "y": 1}, CONFIG)
    whole = Space.parse({"x": {"type": "int", "low": 0, "high": 3}})
    assert whole.contains({"x": 2}, CONFIG)
    assert not whole.contains({"x": 2.0}, CONFIG)
    assert not whole.contains({"x": True}, CONFIG)


@given(seed=st.integers(0, 2**31))
def test_a_space_contains_what_it_suggests(seed: int) -> None:
    space = Space.parse(
        {
            **CONDITIONAL,
            "i": {"type": "int", "low": -3, "high": 9, "step": 4},
            "l": {"type": "int", "low": 1, "high": 900, "log": True},
            "f": {"type": "float", "low": -0.3, "high": 0.6, "step": 0.1},
            "c": {"type": "categorical", "choices": [None, True, 1.5, "x"]},
        }
    )
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    optuna.logging.set_verbosity(level)
    params = space.suggest(study.ask(), CONFIG)
    assert space.contains(params, CONFIG)


def test_the_grid_leaves_out_what_is_not_active() -> None:
    momentum = {"type": "float", "low": 0.0, "high": 0.2, "step": 0.1}
    momentum["when"] = {"train.optimizer.name": "sgd"}  # type: ignore[assignment]
    tree = {"train": {"optimizer": {**CONDITIONAL["train"]["optimizer"], "momentum": momentum}}}
    points = list(Space.parse(tree).grid(CONFIG))
    assert points == [
        {"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.0},
        {"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.1},
        {"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.2},
        {"train.optimizer.name": "adamw"},
    ]


def test_lookup_of_an_absent_key() -> None:
    assert lookup(CONFIG, "train.optimizer.name") == "adamw"
    with pytest.raises(KeyError):
        lookup(CONFIG, "train.optimizer.name.x")
