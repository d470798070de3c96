"""Folds: a sweep that is killed goes on, and a run ends with an endpoint of a model a fold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rayml.config.components.trust import ONLY_OWN
from rayml.data.prepare.prepared import open_prepared
from rayml.registry.bundle.bundle import load_bundle
from rayml.serve.predict.predictor import Predictor
from rayml.stages.checks.preflight import trial_config
from rayml.stages.commands.sweep_folder import config_of_sweep
from rayml.stages.winners.out_of_fold import out_of_fold
from rayml.stages.winners.winner import committee_of, find_winner
from rayml.train.build import build_member, build_trial_task
from rayml.train.folds.parts import fold_values
from tests.e2e.command import Rayml
from tests.e2e.test_kill import EPOCHS, TRIALS, sweeping
from tests.processes import descendants, kill
from tests.record import assert_continued, epochs, finished, recorded


@pytest.mark.slow
def test_a_killed_sweep_with_folds_loses_nothing(tmp_path: Path, rayml: Rayml) -> None:
    journal = tmp_path / "runs/sweeps/killed/journal.log"
    with sweeping(tmp_path, "data.split.folds=3") as driver:
        kill([driver.pid, *descendants(driver.pid)])
        driver.wait()
    before = finished(journal)
    left = [trial for trial in recorded(journal) if not trial.state.is_finished()]
    done = rayml(tmp_path, "sweep", "resume=killed")
    assert f"{len(before)} of {TRIALS} trials are finished, {len(left)} continue" in done.stdout
    assert_continued(journal, before, TRIALS)
    after = recorded(journal)
    for trial in left:
        assert epochs(after[trial.number]) == EPOCHS
        assert all(
            after[trial.number].intermediate_values[step] == value
            for step, value in trial.intermediate_values.items()
        )


def test_a_run_with_folds_ends_with_an_endpoint_of_their_models(
    tmp_path: Path, rayml: Rayml
) -> None:
    small = ("search.trials=3", "train.epochs=6", "confirm.top=2", "confirm.seeds=3")
    done = rayml(
        tmp_path,
        *("run", "data=wine", "data.split.folds=3", "search.name=s", *small),
        *("confirm=greedy", "confirm.max_latency_ms=null", "serve.port=0"),
    )
    assert "the training rows validate in turn, in 3 folds" in done.stdout
    assert "over 1 seed of 3 folds each" in done.stdout
    assert '"spread":' in done.stdout

    sweep, bundle = tmp_path / "runs/sweeps/s", tmp_path / "runs/registry/wine/versions/1"
    trial = trial_config(config_of_sweep(sweep).trusted(ONLY_OWN).plain)
    data = open_prepared(Path(json.loads((sweep / "data.json").read_text())["path"]))
    winner = find_winner(sweep, trial)
    assert len(winner.members) % 3 == 0
    assert load_bundle(bundle).lineage.folds == tuple(each.fold for each in winner.members)

    assert winner.confirmation is not None
    for candidate in winner.confirmation.candidates:
        (folds,) = candidate.folds
        assert candidate.values == pytest.approx((sum(folds) / 3,))
        assert candidate.low <= candidate.mean <= candidate.high

    task = build_trial_task(winner.config["task"], data.preprocessor.target)
    held = out_of_fold(winner, committee_of(winner, data), data, task)
    dealt = data.dealt()
    assert held is not None
    assert dealt is not None
    assert (held.folds == dealt.held).all()
    rows = data.examples("train")
    assert (held.target == rows.target).all()
    # Of each training the model of the row's fold alone, by its votes.
    shape, target = data.preprocessor.shape, data.preprocessor.target
    for row in (0, 17, len(rows) - 1):
        own = [each for each in winner.members if each.fold == held.folds[row]]
        features = rows.rows(held.places[row : row + 1]).features
        outputs = [
            build_member(each.config, each.weights, shape=shape, target=target).outputs(features)
            for each in own
            for _ in range(each.votes)
        ]
        wanted = task.predict(torch.stack(outputs)).mean(0)
        found = task.predict(held.outputs[row : row + 1])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

    info = json.loads((bundle / "bundle.json").read_text())
    measured = held.measure(task)
    assert info["metrics"]["validation"]["accuracy"] == pytest.approx(measured["accuracy"])
    assert fold_values("accuracy", info["metrics"]["validation"]) == []
    assert info["ensemble"] == len(winner.members)
    assert Predictor.load(bundle).members.stacked

    rayml(tmp_path, "report", "s")
    page = (sweep / "report/index.html").read_text(encoding="utf-8")
    assert "over its folds" in page
    assert "1 seed of 3 folds each" in page
