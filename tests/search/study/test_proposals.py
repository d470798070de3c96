"""A study proposes what was not tried, and looks at structures that no trial has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayml.search.journal.journal import read_study
from rayml.search.problem.prior_trials import PriorTrials
from rayml.search.results.leaderboard import rank_trials
from rayml.search.space.parameter import identity
from rayml.search.study.study import Study
from rayml.settings.search import CohortSettings, PrunerSettings, SamplerSettings
from tests.search.plans import report, tell

MakeStudy = Callable[..., Study]

TABLE: dict[str, Any] = {
    "model": {
        "width": {"type": "categorical", "choices": [16, 32, 64]},
        "depth": {"type": "int", "low": 1, "high": 2},
    },
    "train": {
        "optimizer": {"name": {"type": "categorical", "choices": ["adamw", "sgd"]}},
        "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
    },
}
MOMENTUM = {
    "type": "float", "low": 0.1, "high": 0.9, "step": 0.4, "when": {"train.optimizer.name": "sgd"},
}  # fmt: skip
WIDTHS = {
    "model": TABLE["model"],
    "train": {"optimizer": {"lr": {"type": "float", "low": 0.001, "high": 1.0, "log": True}}},
}
STRUCTURAL = {"model.width": True, "model.depth": True, "train.optimizer.lr": False}


def conditional() -> dict[str, Any]:
    optimizer = {**TABLE["train"]["optimizer"], "momentum": MOMENTUM}
    return {"model": TABLE["model"], "train": {"optimizer": optimizer}}


def exhaust(study: Study, at_once: int) -> list[Any]:
    """Ask until there is no more; trials complete, are pruned, fail or still run."""
    found = []
    while asked := study.ask(at_once):
        for each in asked:
            found.append(identity(each.params))
            ending = each.number % 4
            if ending < 2:
                report(study, each.number, 1, len(str(each.params)) % 7, {})
                tell(study, each.number, ("COMPLETE", "PRUNED")[ending])
            elif ending == 2:
                tell(study, each.number, "FAIL", reason="no")
    return found


@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize("name", ["tpe", "optuna_tpe", "random", "qmc", "grid"])
def test_nothing_is_tried_twice_and_all_is_tried(
    make_study: MakeStudy, name: Any, at_once: int
) -> None:
    study = make_study(tree=TABLE, sampler=SamplerSettings(name=name))
    found = exhaust(study, at_once)
    assert len(found) == len(set(found)) == 36
    assert study.snapshot().notes == (
        "all 36 points of the space are tried, so the sweep ends before its budget is spent",
    )
    assert not study.has_more


@pytest.mark.parametrize("name", ["tpe", "optuna_tpe"])
def test_points_of_a_conditional_space(make_study: MakeStudy, name: Any) -> None:
    found = exhaust(make_study(tree=conditional(), sampler=SamplerSettings(name=name)), 3)
    assert len(found) == len(set(found)) == 6 * (1 + 3)


def test_a_structure_whose_points_are_all_tried(make_study: MakeStudy) -> None:
    study = make_study(tree=TABLE, sampler=SamplerSettings())
    fixed = {"model.width": 16, "model.depth": 2, "train.batch_size": 8}
    assert len({identity(each.params) for each in study.ask(9, fixed)}) == 2
    assert study.ask(1, fixed) == []
    assert study.has_more
    assert len(study.ask(99)) == 34
    assert not study.has_more


def test_suggestions_are_tried_once(make_study: MakeStudy) -> None:
    first = {"model.width": 16, "model.depth": 1, "train.optimizer.name": "sgd"}
    suggestions = tuple({**first, "train.batch_size": size} for size in (8, 8, 16))
    study = make_study(tree=TABLE, history=PriorTrials(suggestions=suggestions))
    found = [dict(each.params) for each in study.ask(36)]
    assert found[:2] == [suggestions[0], suggestions[2]]
    assert len({identity(each) for each in found}) == 36


def test_a_suggested_trial_is_not_pruned(make_study: MakeStudy) -> None:
    first = {"model.width": 16, "model.depth": 1, "train.batch_size": 8}
    study = make_study(
        tree=TABLE,
        pruner=PrunerSettings(name="asha", reduction=2),
        history=PriorTrials(suggestions=({**first, "train.optimizer.name": "sgd"},)),
    )
    suggested, good, bad = study.ask(3)
    assert report(study, good.number, 1, 0.9, {}).action == "keep"
    assert report(study, suggested.number, 1, 0.1, {}).action == "keep"
    # The others are judged beside it all the same.
    assert report(study, bad.number, 1, 0.2, {}).reason.startswith("rank 2 of 3")


def test_a_user_s_sampler_may_repeat_itself(make_study: MakeStudy) -> None:
    sampler = SamplerSettings(target="optuna.samplers.RandomSampler")
    tree = {"model": {"depth": {"type": "int", "low": 1, "high": 1}}}
    assert len(make_study(tree=tree, sampler=sampler).ask(3)) == 3


@pytest.mark.parametrize("name", ["tpe", "optuna_tpe", "random", "grid"])
def test_first_cohorts_are_of_new_structures(
    make_study: MakeStudy, tmp_path: Path, name: Any
) -> None:
    tree = TABLE if name == "grid" else WIDTHS
    study = make_study(tree=tree, sampler=SamplerSettings(name=name), trials=12, workers=2)
    structures = set()
    for cohort in range(6):
        number, asked = study.next_cohort(tune_trial=str(cohort)) or (0, [])
        opening = study.opening(number)
        assert list(opening.trials) == asked
        assert opening.quota.lanes == 1
        assert opening.classified is (cohort > 0)
        keys = {key: STRUCTURAL.get(key, False) for key in asked[0].params}
        study.classify(keys)
        structures.add(tuple(v for key, v in asked[0].params.items() if STRUCTURAL.get(key)))
    assert len(structures) == study.snapshot().structures == 6
    number, _ = study.next_cohort(tune_trial="then") or (0, [])
    assert study.opening(number).quota.trials == 4
    assert rank_trials(read_study(tmp_path / "journal.log")).structures == 6


def test_given_lanes_are_dealt(make_study: MakeStudy) -> None:
    study = make_study(tree=WIDTHS, trials=32, cohort=CohortSettings(lanes=8))
    number, _ = study.next_cohort(tune_trial="a") or (0, [])
    assert study.opening(number).quota.lanes == 8


def test_seconds_alone_end_a_study(make_study: MakeStudy) -> None:
    study = make_study(tree=WIDTHS, trials=None, seconds=100.0, sampler=SamplerSettings())
    assert len(study.ask(300)) == 300
    assert study.has_more
    study._plan = replace(study._plan, started=0.0)
    study._totals._plan = study._plan
    assert not study.has_more
    assert study.ask() == []


def test_a_table_ends_a_study_of_seconds(make_study: MakeStudy) -> None:
    study = make_study(tree=TABLE, trials=None, seconds=100.0, sampler=SamplerSettings())
    assert len(study.ask(300)) == 36
    assert not study.has_more
    assert len(study.snapshot().notes) == 1


def test_a_budget_of_seconds_may_end_before_that_of_trials(make_study: MakeStudy) -> None:
    study = make_study(tree=WIDTHS, trials=100_000, seconds=100.0)
    number, _ = study.next_cohort(tune_trial="a") or (0, [])
    assert study.opening(number).quota.lanes == 1


def test_trials_that_train_by_themselves_are_new_ones(make_study: MakeStudy) -> None:
    tree = {
        "model": {
            "family": {"type": "categorical", "choices": ["net", "trees"]},
            "width": {
                "type": "categorical", "choices": [16, 32, 64], "when": {"model.family": "net"},
            },
            "rate": {
                "type": "float", "low": 0.1, "high": 1.0, "when": {"model.family": "trees"},
            },
        }
    }  # fmt: skip
    study = make_study(tree=tree, sampler=SamplerSettings(name="random"), trials=40)
    families = []
    for cohort in range(20):
        _, [asked] = study.next_cohort(tune_trial=str(cohort)) or (0, [])
        families.append(asked.params["model.family"])
        if families[-1] == "net":
            study.classify(dict.fromkeys(asked.params, True))
    assert families.count("trees") >= 8
    # Each width of a net, and trees.
    assert study.snapshot().structures == 4
