"""A confirmation on a local Ray: from a sweep to an ensemble that answers over HTTP."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.errors import ConfigError, SearchError
from rayml.models.nets.mlp import MLP
from rayml.registry.bundle.bundle import load_bundle
from rayml.search.cohort.plan import SweepData
from rayml.search.cohort.worker import write_weights
from rayml.search.confirm.confirm import confirm
from rayml.search.confirm.seed_training import ConfirmPlan
from rayml.search.problem.goals import Goals
from rayml.search.results.choice import interval
from rayml.search.results.confirmation import Confirmation, read_confirmation
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.serve.endpoint import start
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.settings.search import ConfirmSettings, ResourceSettings
from rayml.settings.serve import ReplicaSettings, ServeSettings
from rayml.settings.train import TrainSettings
from rayml.stages.register import write_winner
from rayml.tasks.objectives import Objective
from rayml.train.build import apply
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.types import Examples, SplitName

pytestmark = pytest.mark.usefixtures("ray_session")

LR = "train.optimizer.lr"


def table(rows: int, seed: int) -> pa.Table:
    numbers = np.random.default_rng(seed).normal(size=(rows, 4))
    columns = {name: numbers[:, index] for index, name in enumerate("abcd")}
    return pa.table({**columns, "y": np.where(numbers[:, 0] + numbers[:, 1] > 0, "yes", "no")})


TABLES: Mapping[SplitName, pa.Table] = {
    "train": table(300, 0),
    "validation": table(100, 1),
    "test": table(100, 2),
}


@dataclasses.dataclass
class Prepared:
    """What the stages ask of a prepared dataset; counts how often a split is read."""

    preprocessor: Preprocessor
    hash: str = "0" * 16
    source: str = "memory"
    csv: None = None
    read: list[SplitName] = dataclasses.field(default_factory=list)

    def examples(self, split: SplitName) -> Examples:
        self.read.append(split)
        rows = TABLES[split]
        features = self.preprocessor.transform_batch(rows)
        target = np.array([value == "yes" for value in rows["y"].to_pylist()], np.int64)
        return Examples(features, target)

    def dealt(self) -> None:
        """It has no folds."""

    @property
    def sweep_data(self) -> SweepData:
        return SweepData(
            self.examples("train"),
            self.examples("validation"),
            self.preprocessor.shape,
            self.preprocessor.target,
        )


@pytest.fixture
def prepared() -> Prepared:
    schema = infer_schema(TABLES["train"], target="y", settings=SchemaSettings())
    statistics = observe(TABLES["train"], schema, "binary")
    return Prepared(Preprocessor.fit(schema, statistics, PreprocessSettings(), "binary"))


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., ConfirmPlan]:
    def make(
        *, model: str = "rayml.models.nets.mlp.MLP", epochs: int = 3, **changes: Any
    ) -> ConfirmPlan:
        settings = ConfirmSettings(
            **{name: changes.pop(name) for name in ("top", "seeds", "ensemble") if name in changes}
        )
        trial = {
            "model": {"_target_": model, "width": 16, "depth": 1, "dropout": 0.1},
            "task": {"metric": None, "metrics": {}},
            "train": dataclasses.asdict(TrainSettings(epochs=epochs, batch_size=64)),
        }
        (tmp_path / "sweep").mkdir(exist_ok=True)
        return ConfirmPlan(sweep=tmp_path / "sweep", trial=trial, settings=settings, **changes)

    return make


def board(*params: dict[str, Any], state: str = "COMPLETE") -> Leaderboard:
    rows = [
        TrialRow(number, state, 0.5, 1, 3, each, "", "", None, None, {1: (0.5, {})})
        for number, each in enumerate(params, start=10)
    ]
    return Leaderboard(Goals((Objective("accuracy", "maximize"),)), rows)


BOARD = board({LR: 0.01}, {LR: 1e-6}, {LR: 0.02, "model.width": 8})


def run(plan: ConfirmPlan, prepared: Prepared, rows: Leaderboard = BOARD) -> Confirmation:
    found = confirm(plan, rows, prepared.sweep_data)
    assert found is not None
    return found


def trained_files(plan: ConfirmPlan) -> dict[str, int]:
    files = plan.sweep.glob("confirm/*/*/checkpoint.safetensors")
    return {
        f"{path.parent.parent.name}/{path.parent.name}": path.stat().st_mtime_ns for path in files
    }


def test_each_seed_of_each_candidate_is_its_own_training(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared
) -> None:
    plan = make_plan(seeds=3)
    told: list[str] = []
    found = confirm(plan, BOARD, prepared.sweep_data, on_progress=told.append)
    assert found is not None
    assert found == read_confirmation(plan.sweep)
    assert found.seeds == (1, 2, 3)
    assert [each.number for each in found.candidates] == [10, 11, 12]
    assert len(told) == 3
    assert found.winner != 11  # it hardly learns
    data = prepared.sweep_data
    for each in found.candidates:
        alone = train_seeds(
            apply(plan.trial, each.params),
            found.seeds,
            train=data.train,
            validation=data.validation,
            shape=data.shape,
            target=data.target,
        )
        values = {result.seed: result.best.value for result in alone}  # type: ignore[union-attr]
        assert each.values == pytest.approx([values[seed] for seed in found.seeds], abs=0.02)
        assert (each.low, each.high) == interval(each.values)
        assert each.mean == pytest.approx(np.mean(each.values))
        assert each.steps == 3 * 3 * 5
    assert len(trained_files(plan)) == 9
    assert run(plan, prepared) == found


def test_finished_seeds_are_not_trained_again(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared
) -> None:
    """As after an interruption: some files are there, one is torn, more seeds are asked for."""
    first = run(make_plan(seeds=2), prepared)
    plan = make_plan(seeds=3)
    before = trained_files(plan)
    torn = plan.sweep / "confirm" / "10" / "1" / "checkpoint.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])
    second = run(plan, prepared)
    after = trained_files(plan)
    assert {name for name in before if after[name] != before[name]} == {"10/1"}
    assert len(after) == 9
    for old, new in zip(first.candidates, second.candidates, strict=True):
        # The torn one trained beside another seed than before, which changes the rounding.
        assert new.values[:2] == pytest.approx(old.values, abs=0.02)


class Fatal(MLP):
    """Kills its process, once: the first time that a worker makes it."""

    def __init__(self, *args: Any, marker: str, always: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        if always or not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)


# As workers import it.
FATAL = f"{__name__}.Fatal"


def test_a_worker_that_dies_is_replaced(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=2)
    expected = run(plan, prepared)
    plan = make_plan(seeds=2, model=FATAL, max_failures=2)
    plan.trial["model"]["marker"] = str(tmp_path / "marker")
    found = run(plan, prepared)
    assert (tmp_path / "marker").exists()
    assert not found.failed
    assert [each.values for each in found.candidates] == [
        each.values for each in expected.candidates
    ]


def test_a_candidate_that_fails_does_not_win_and_says_why(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=2, model=FATAL, max_failures=0)
    plan.trial["model"] |= {"marker": str(tmp_path / "marker"), "always": False}
    (tmp_path / "marker").touch()
    rows = board({LR: 1e30}, {"model.always": True}, {LR: 0.01})
    found = run(plan, prepared, rows)
    assert found.winner == 12
    reasons = {each.number: each.reason for each in found.failed}
    assert reasons[10].startswith("DivergedError: ")
    assert reasons[11].startswith("its worker died: ")
    with pytest.raises(SearchError, match=r"trial 10: DivergedError.*confirm=none"):
        run(plan, prepared, board({LR: 1e30}))


def test_a_sweep_without_a_completed_trial_has_nothing_to_confirm(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared
) -> None:
    plan = make_plan()
    assert confirm(plan, board({LR: 0.1}, state="PRUNED"), prepared.sweep_data) is None
    assert read_confirmation(plan.sweep) is None


def test_a_training_that_fits_nowhere(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared
) -> None:
    plan = make_plan(resources=ResourceSettings(cpu=64))
    with pytest.raises(ConfigError, match="and the cluster has"):
        run(plan, prepared)


def test_the_confirmed_winner_becomes_a_bundle_and_the_test_split_is_read_once(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=3)
    found = run(plan, prepared)
    prepared.read.clear()
    info = _bundle(plan, prepared, tmp_path / "one")
    assert prepared.read == ["validation", "test"]
    read = read_confirmation(plan.sweep)
    assert read is not None
    assert read.test == info.metrics["test"]
    # Another version of the same models, and a confirmation of the same seeds, know it already.
    assert _bundle(plan, prepared, tmp_path / "two").metrics == info.metrics
    assert run(plan, prepared) == read
    assert prepared.read.count("test") == 1
    bundle = load_bundle(tmp_path / "one")
    chosen = found.chosen
    assert info.confirmed is not None
    assert (info.confirmed.seeds, info.confirmed.mean) == (3, chosen.mean)
    assert info.metrics["validation"]["accuracy"] == np.median(chosen.values)
    assert (bundle.lineage.trial, bundle.lineage.seed) == (found.winner, found.seed)


def _bundle(plan: ConfirmPlan, prepared: Prepared, folder: Path) -> Any:
    info, _ = write_winner(plan.sweep, plan.trial, prepared, name="m", folder=folder)  # type: ignore[arg-type]
    return info


def test_an_ensemble_answers_over_http_as_its_members_do(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=3, ensemble=2)
    found = run(plan, prepared)
    values = dict(zip(found.seeds, found.chosen.values, strict=True))
    assert found.ensemble is not None
    assert len(found.ensemble) == 2
    assert min(values[seed] for seed in found.ensemble) >= min(values.values())
    info = _bundle(plan, prepared, tmp_path / "bundle")
    assert info.ensemble == 2
    predictor = Predictor.load(tmp_path / "bundle")
    assert predictor.bundle.lineage.members == found.ensemble
    for split in ("validation", "test"):
        p = predictor.outputs(prepared.preprocessor.transform_batch(TABLES[split]))
        truth = torch.from_numpy(prepared.examples(split).target)
        accuracy = ((p >= 0.5) == truth.bool()).double().mean().item()
        assert info.metrics[split]["accuracy"] == pytest.approx(accuracy)
    rows = TABLES["test"].drop_columns("y").slice(0, 20).to_pylist()
    endpoint = start(
        tmp_path / "bundle",
        version="1",
        settings=ServeSettings(
            port=0, replicas=ReplicaSettings(min=1, max=1, cpu=0.5), ingress="proxy"
        ),
    )
    try:
        response = httpx.post(f"{endpoint.url}/predict", json={"rows": rows}, timeout=60)
        metadata = httpx.get(f"{endpoint.url}/metadata", timeout=60).json()
    finally:
        endpoint.stop()
    answers: Sequence[Any] = response.json()["predictions"]
    # The same batch in another process: the same bits.
    assert answers == predictor.predict_rows(rows)
    assert all(answer["spread"] > 0 for answer in answers)
    assert metadata["ensemble"] == 2
    assert metadata["confirmed"]["seeds"] == 3


def train_as_a_sweep(plan: ConfirmPlan, prepared: Prepared, rows: Leaderboard) -> None:
    data = prepared.sweep_data
    for row in rows.rows:
        (result,) = train_seeds(
            apply(plan.trial, row.params),
            [plan.trial["train"]["seed"]],
            train=data.train,
            validation=data.validation,
            shape=data.shape,
            target=data.target,
        )
        assert isinstance(result, SeedResult)
        write_weights(result.weights, plan.sweep / "trials" / str(row.number))


def test_without_new_seeds_the_sweep_s_own_models_are_taken_but_those_that_are_gone(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=0, top=1, ensemble="greedy", epochs=2)
    rows = board({LR: 3e-3}, {LR: 2e-3}, {LR: 4e-3}, {LR: 5e-3})
    train_as_a_sweep(plan, prepared, rows)
    best, second, third, *_ = (row.number for row in rows.rows)
    for lost in (best, third):
        shutil.rmtree(plan.sweep / "trials" / str(lost))
    found = run(plan, prepared, rows)
    assert found.winner == second
    assert found.candidates[0].steps == 0
    members = [] if found.selection is None else found.selection.members
    assert {best, third}.isdisjoint(each.trial for each in members)
    _bundle(plan, prepared, tmp_path / "bundle")
    predictor = Predictor(load_bundle(tmp_path / "bundle"))
    assert predictor.bundle.info.confirmed is None


def test_an_ensemble_is_selected_among_all_models_and_becomes_a_bundle(
    make_plan: Callable[..., ConfirmPlan], prepared: Prepared, tmp_path: Path
) -> None:
    plan = make_plan(seeds=3, top=2, ensemble="greedy", epochs=2)
    rows = board({LR: 3e-3}, {LR: 2e-3, "model.width": 8}, {LR: 4e-3, "model.depth": 2})
    train_as_a_sweep(plan, prepared, rows)
    found = run(plan, prepared, rows)
    assert found.selection is not None
    assert found.selection.pool == 2 * 3 + 3
    assert found.selection.score < found.selection.alone  # log loss
    # A sweep that goes on may write other weights of its trials; those of members stay.
    shutil.rmtree(plan.sweep / "trials")
    info = _bundle(plan, prepared, tmp_path / "bundle")
    members = found.selection.members
    assert info.ensemble == len(members)
    lineage = load_bundle(tmp_path / "bundle").lineage
    assert sorted((each["trial"], each["seed"], each["votes"]) for each in lineage.selected) == (
        sorted((each.trial, each.seed, each.votes) for each in members)
    )
    predictor = Predictor.load(tmp_path / "bundle")
    for split in ("validation", "test"):
        p = predictor.outputs(prepared.preprocessor.transform_batch(TABLES[split]))
        truth = torch.from_numpy(prepared.examples(split).target)
        accuracy = ((p >= 0.5) == truth.bool()).double().mean().item()
        assert info.metrics[split]["accuracy"] == pytest.approx(accuracy)
    # Without the trials' own models there are the seeds of the confirmation to select from.
    assert run(plan, prepared, _without_own(rows)).winner == found.winner


def _without_own(rows: Leaderboard) -> Leaderboard:
    """The same trials, whose own weights are not asked for."""
    return dataclasses.replace(
        rows, rows=[dataclasses.replace(row, epoch=None) for row in rows.rows]
    )
