"""Candidates are the best completed configurations, each once; seeds are new to them."""

from __future__ import annotations

import dataclasses
from typing import Any

from rayml.search.problem.goals import Goals
from rayml.search.results.candidates import candidates, new_seeds
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.tasks.objectives import Objective

LR, SEED = "train.optimizer.lr", "train.seed"


def row(number: int, state: str, params: dict[str, Any]) -> TrialRow:
    return TrialRow(number, state, 0.5, 1, 1, params, "", "", None, None, {})


def board(*rows: TrialRow) -> Leaderboard:
    return Leaderboard(Goals((Objective("accuracy", "maximize"),)), rows)


def test_only_trials_that_trained_to_their_end(config: dict[str, Any]) -> None:
    rows = [
        row(4, "COMPLETE", {LR: 0.1}),
        row(1, "PRUNED", {LR: 0.2}),
        row(2, "COMPLETE", {LR: 0.3}),
        row(0, "COMPLETE", {LR: 0.4}),
    ]
    found = candidates(board(*rows), config, 2)
    assert [each.number for each in found] == [4, 2]
    assert found[1].config["train"]["optimizer"]["lr"] == 0.3
    assert candidates(board(rows[1]), config, 2) == []


def test_a_configuration_is_trained_once_though_it_was_proposed_again(
    config: dict[str, Any],
) -> None:
    base = config["train"]["optimizer"]["lr"]
    rows = [
        row(0, "COMPLETE", {LR: base, SEED: 1}),
        row(1, "COMPLETE", {LR: base, SEED: 2}),
        row(2, "COMPLETE", {}),
        row(3, "COMPLETE", {LR: base * 2}),
    ]
    assert [each.number for each in candidates(board(*rows), config, 9)] == [0, 3]


def test_seeds_are_new_and_more_of_them_begin_alike(config: dict[str, Any]) -> None:
    config["train"]["seed"] = 7
    found = candidates(
        board(row(0, "COMPLETE", {LR: 1.0, SEED: 9}), row(1, "COMPLETE", {})), config, 9
    )
    assert new_seeds(config, found, 3) == (8, 10, 11)
    assert new_seeds(config, found, 5)[:3] == (8, 10, 11)


def test_only_trials_that_keep_the_constraints(config: dict[str, Any]) -> None:
    broken = dataclasses.replace(row(0, "COMPLETE", {LR: 0.1}), violation=0.5)
    found = candidates(board(broken, row(1, "COMPLETE", {LR: 0.2})), config, 2)
    assert [each.number for each in found] == [1]
