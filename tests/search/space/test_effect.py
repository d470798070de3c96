"""What a space searches in vain is refused, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from rayml.errors import InvalidConfigError
from rayml.search.space.effect import check_effect
from rayml.search.space.space import Space

UNIT = {"type": "float", "low": 0.0, "high": 0.5}
WEIGHTS: Any = {"type": "categorical", "choices": [None, "balanced"]}
NAME = {"type": "categorical", "choices": ["adamw", "sgd"]}
DEPTH = {"type": "int", "low": 1, "high": 3}


def config(task: str = "binary", optimizer: str = "adamw") -> dict[str, Any]:
    return {
        "model": {"_target_": "rayml.models.nets.mlp.MLP", "depth": 2, "norm": "none"},
        "task": {"name": task, "metric": None, "metrics": {}},
        "train": {
            "optimizer": {"name": optimizer, "lr": 0.1},
            "label_smoothing": 0.0,
            "class_weights": None,
        },
    }


def numeric(kind: str, target: str = "rayml.models.nets.mlp.MLP") -> dict[str, Any]:
    model = {"_target_": target, "numeric": kind, "bins": 32, "sigma": 0.1, "numeric_width": 8}
    return config() | {"model": model}


BINS = {"type": "categorical", "choices": [16, 32]}


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("model.bins", "none"),
        ("model.bins", "plr"),
        ("model.sigma", "piecewise"),
        ("model.numeric_width", "none"),
    ],
)
def test_settings_of_another_numeric_embedding_are_searched_in_vain(key: str, kind: str) -> None:
    space = Space.parse({key: BINS if key != "model.sigma" else UNIT})
    with pytest.raises(InvalidConfigError, match=r"search model\.numeric with"):
        check_effect(space, numeric(kind))
    check_effect(space, numeric(kind, target="shop.nets.Mine"))


@pytest.mark.parametrize(
    ("key", "kind"), [("model.bins", "piecewise"), ("model.numeric_width", "plr")]
)
def test_settings_of_the_numeric_embedding_are_searched(key: str, kind: str) -> None:
    check_effect(Space.parse({key: BINS}), numeric(kind))


def problems(tree: dict[str, Any], **changes: str) -> tuple[str, ...]:
    try:
        check_effect(Space.parse(tree), config(**changes))
    except InvalidConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("tree", "changes", "words"),
    [
        ({"train.label_smoothing": UNIT}, {"task": "regression"}, "as task.name is regression"),
        ({"train.class_weights": WEIGHTS}, {"task": "regression"}, "as task.name is regression"),
        ({"train.optimizer.momentum": UNIT}, {}, "as train.optimizer.name is adamw"),
        ({"train.optimizer.beta1": UNIT}, {"optimizer": "sgd"}, "search train.optimizer.name with"),
        ({"train.optimizer.beta2": UNIT}, {"optimizer": "sgd"}, "searching it has no effect"),
        ({"train.eval_batch_size": DEPTH}, {}, "it changes how a trial is evaluated"),
        ({"train.eval_steps": DEPTH}, {}, "compared after as many evaluations"),
        ({"train.steps": DEPTH, "train.epochs": DEPTH}, {}, "as train.steps counts in its place"),
        (
            {
                "train.optimizer.name": NAME,
                "train.optimizer.momentum": {**UNIT, "when": {"train.optimizer.name": "adamw"}},
            },
            {},
            "as train.optimizer.name is adamw",
        ),
        # Conditions that never hold.
        ({"model.depth": {**DEPTH, "when": {"model.norm": "batch"}}}, {}, "holds 'none'"),
        ({"model.depth": {**DEPTH, "when": {"task.name": "ranking"}}}, {}, "tasks are binary"),
        (
            {
                "train.optimizer.name": NAME,
                "model.depth": {**DEPTH, "when": {"train.optimizer.name": ["sgd", "adam"]}},
            },
            {},
            "names 'adam', which train.optimizer.name never is; it is adamw or sgd",
        ),
        (
            {
                "train.optimizer.name": NAME,
                "model.norm": {
                    "type": "categorical",
                    "choices": ["none", "layer"],
                    "when": {"train.optimizer.name": "sgd"},
                },
                "model.depth": {
                    **DEPTH,
                    "when": {"model.norm": "layer", "train.optimizer.name": "adamw"},
                },
            },
            {},
            "exclude one another",
        ),
    ],
)
def test_what_is_searched_in_vain_is_refused(
    tree: dict[str, Any], changes: dict[str, str], words: str
) -> None:
    [problem] = problems(tree, **changes)
    assert words in problem
    assert problem.startswith("space.")


def test_what_matters_in_some_trial_may_be_searched() -> None:
    smoothing = {**UNIT, "when": {"task.name": ["binary", "multiclass"]}}
    for task in ("binary", "regression"):
        assert not problems({"train.label_smoothing": smoothing}, task=task)
        if task != "regression":
            assert not problems({"train.class_weights": WEIGHTS}, task=task)
    both = {"train.optimizer.name": NAME, "train.optimizer.momentum": UNIT}
    assert not problems(both)
    fixed = {"train.optimizer.momentum": {**UNIT, "when": {"train.optimizer.name": "sgd"}}}
    assert not problems({**fixed, "train.optimizer.name": NAME})
    assert not problems(fixed, optimizer="sgd")


def test_a_condition_on_the_task_leaves_its_key_out() -> None:
    space = Space.parse({"train.label_smoothing": {**UNIT, "when": {"task.name": "binary"}}})
    [point] = space.grid(config(task="regression"))
    assert point == {}


def test_conditions_in_a_circle_are_told_by_the_parser() -> None:
    with pytest.raises(InvalidConfigError, match="circle"):
        Space.parse({"model.depth": {**DEPTH, "when": {"model.depth": 1}}})
