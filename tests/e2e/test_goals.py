"""A sweep of two objectives under a constraint, from its command to a registered winner."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.e2e.command import Rayml

WIDTHS = "space.model.width.choices=[16,256]"
# Unconfirmed: the winner is the first of the leaderboard.
SMALL = ("search=pareto", "train.epochs=3", "confirm=none", WIDTHS)
LIMIT = 20_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sweep(home: Path, rayml: Rayml) -> subprocess.CompletedProcess[str]:
    """Widths of 16 keep the constraint; of 256 only one layer does."""
    bound = f"+search.constraints={{parameters: {{max: {LIMIT}}}}}"
    return rayml(home, "sweep", *SMALL, bound, "search.name=front", "search.trials=10")


def study(home: Path) -> optuna.Study:
    journal = home / "runs" / "sweeps" / "front" / "journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="front", storage=storage)


@pytest.fixture(scope="module")
def rows(home: Path, sweep: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    table = pq.read_table(home / "runs" / "sweeps" / "front" / "report" / "trials.parquet")
    return table.to_pylist()  # type: ignore[no-any-return]


def test_the_command_tells_what_is_sought(sweep: subprocess.CompletedProcess[str]) -> None:
    assert f"best accuracy, parameters with parameters <= {LIMIT}" in sweep.stdout
    assert "violation" in sweep.stdout
    assert sweep.stderr == ""


def test_optuna_reads_the_front_from_the_journal(home: Path, rows: list[dict[str, Any]]) -> None:
    read = study(home)
    assert read.metric_names == ["accuracy", "parameters"]
    assert {trial.state.name for trial in read.trials} == {"COMPLETE"}
    assert {trial.number for trial in read.best_trials} == {
        row["number"] for row in rows if row["on_front"]
    }
    for trial in read.trials:
        parameters = trial.values[1]
        assert list(trial.constraints.values()) == [parameters - LIMIT]
        assert sorted(trial.intermediate_values) == [1, 2, 3]
        assert trial.values[0] == max(trial.intermediate_values.values())


def test_trials_of_both_kinds_are_ranked(rows: list[dict[str, Any]]) -> None:
    feasible = [row["feasible"] for row in rows]
    assert set(feasible) == {True, False}
    assert feasible == sorted(feasible, reverse=True)
    assert all(row["feasible"] == (row["values.parameters"] <= LIMIT) for row in rows)
    kept = [row["value"] for row in rows if row["feasible"]]
    assert rows[0]["value"] == max(kept)
    assert rows[0]["on_front"]


def test_the_winner_is_registered(home: Path, rows: list[dict[str, Any]], rayml: Rayml) -> None:
    assert "breast_cancer version 1" in rayml(home, "register", "front").stdout
    bundle = home / "runs" / "registry" / "breast_cancer" / "versions" / "1"
    assert json.loads((bundle / "lineage.json").read_text())["trial"] == rows[0]["number"]
    measured = json.loads((bundle / "bundle.json").read_text())["metrics"]
    assert set(measured["validation"]) == set(measured["test"])


@pytest.mark.slow
def test_a_budget_of_epochs_ends_a_sweep_and_an_infeasible_winner_is_not_registered(
    home: Path, rayml: Rayml
) -> None:
    bound = "+search.constraints={parameters: {max: 1}}"
    rayml(home, "sweep", *SMALL, bound, "search.name=none", "search.epochs=4")
    table = pq.read_table(home / "runs" / "sweeps" / "none" / "report" / "trials.parquet")
    # Epochs in progress meanwhile are counted too; all 20 trials would train for 60.
    assert 4 <= sum(table["epochs"].to_pylist()) < 60
    assert set(table["state"].to_pylist()) <= {"COMPLETE", "PRUNED"}
    assert "the budget of 4 epochs is spent" in table["reason"].to_pylist()
    refused = rayml(home, "register", "none", code=1)
    assert "keeps the search's constraints" in refused.stderr
    assert "Traceback" not in refused.stderr
