"""A winner beside a constant answer and a champion, measured on real test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.stages.winners.judge import judge
from rayml.stages.winners.winner import Winner, WinnerMember
from rayml.types import Examples, SplitName, TaskName

MODEL = {"_target_": "rayml.models.nets.mlp.MLP", "width": 2, "depth": 1}


def rows(number: int, seed: int, task: TaskName = "binary", share: float = 0.5) -> pa.Table:
    """Rows whose target follows x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=number)
    z = rng.normal(size=number)
    value = x + 0.5 * rng.normal(size=number)
    if task == "regression":
        return pa.table({"x": x, "z": z, "y": 100 + 10 * value})
    return pa.table(
        {"x": x, "z": z, "y": np.where(value > np.quantile(value, 1 - share), "b", "a")}
    )


class Data:
    """A prepared dataset in memory."""

    def __init__(self, task: TaskName = "binary", *, raw: bool = True, **settings: Any) -> None:
        train, self._test = rows(500, 1, task, **settings), rows(300, 2, task, **settings)
        schema = infer_schema(train, target="y", settings=SchemaSettings())
        observed = observe(train, schema, task)
        self.preprocessor = Preprocessor.fit(schema, observed, PreprocessSettings(), task)
        self.hash = "same"
        self._raw = raw
        codes = self.preprocessor.encode_target(train["y"])
        self._shares = () if task == "regression" else tuple(np.bincount(codes) / len(codes))

    def class_shares(self) -> tuple[float, ...]:
        return self._shares

    def test_rows(self) -> pa.Table | None:
        return self._test if self._raw else None

    def examples(self, split: SplitName) -> Examples:
        fitted = self.preprocessor
        target = fitted.encode_target(self._test["y"])
        return Examples(fitted.transform_batch(self._test), target)


def weights(slope: float, inputs: int = 2) -> dict[str, torch.Tensor]:
    """An MLP that computes `slope` times its first input."""
    first = torch.zeros(2, inputs)
    first[:, 0] = torch.tensor([1.0, -1.0])
    return {
        "embedding.table": torch.zeros(0, 2),
        "layers.0.weight": first,
        "layers.0.bias": torch.zeros(2),
        "head.weight": slope * torch.tensor([[1.0, -1.0]]),
        "head.bias": torch.zeros(1),
    }


CONFIG = {
    "model": MODEL,
    "task": {"metrics": {}},
    "train": {"eval_batch_size": 128},
}


def member(state: dict[str, torch.Tensor], seed: int = 0) -> WinnerMember:
    return WinnerMember(0, {}, CONFIG, seed, state)


def winner(slope: float, metric: str = "accuracy", members: int = 1) -> Winner:
    return Winner(
        number=0,
        params={},
        config={**CONFIG, "task": {"metric": metric, "metrics": {}}},
        metric=metric,
        direction="maximize",
        members=[member(weights(slope), seed) for seed in range(members)],
        validation=None,
        confirmation=None,
    )


Write = Callable[..., tuple[int, Path]]


@pytest.fixture
def champion(tmp_path: Path) -> Write:
    def write(slope: float, data: Any, *, data_hash: str = "same") -> tuple[int, Path]:
        task = data.preprocessor.target.task
        folder = write_bundle(
            tmp_path / f"bundle{len(list(tmp_path.iterdir()))}",
            info=BundleInfo(
                name="m",
                model=MODEL,
                metric="rmse" if task == "regression" else "accuracy",
                direction="minimize" if task == "regression" else "maximize",
                metrics={"validation": {}, "test": {}},
            ),
            signature=make_signature(data.preprocessor),
            lineage=Lineage(
                data_hash=data_hash,
                source_fingerprint="memory",
                sweep="s",
                trial=0,
                params={},
                seed=0,
            ),
            preprocessor=data.preprocessor,
            groups=[GroupState(weights(slope, len(data.preprocessor.schema.columns)))],
        )
        return 7, folder

    return write


@pytest.mark.parametrize("metric", ["accuracy", "auroc", "f1", "log_loss", "loss"])
@pytest.mark.parametrize("members", [1, 3])
def test_a_first_version_beats_a_constant_answer(metric: str, members: int) -> None:
    decision = judge(winner(3.0, metric, members), Data(), None)
    assert (decision.promote, decision.verdict) == (True, "first")
    assert "on 300 test rows" in decision.reason
    assert "by a constant answer" in decision.reason


@pytest.mark.parametrize("slope", [0.0, -3.0])
@pytest.mark.parametrize("metric", ["accuracy", "auroc", "f1", "calibration_error", "loss"])
def test_a_useless_or_inverted_model_is_not_promoted(metric: str, slope: float) -> None:
    decision = judge(winner(slope, metric), Data(), None)
    assert (decision.promote, decision.verdict) == (False, "no better than a constant")
    assert judge(winner(slope, metric), Data(), None, force=True).promote


def test_a_rare_class_that_is_never_found_is_worth_nothing() -> None:
    # Its probabilities are in the right order, but no row reaches even odds.
    timid = {**weights(1.0), "head.bias": torch.tensor([-9.0])}
    decision = judge(replace(winner(1.0, "f1"), members=[member(timid)]), Data(share=0.05), None)
    assert not decision.promote
    assert "f1 0 on 300 test rows" in decision.reason


def test_too_few_rows_of_a_class_are_told_from_none() -> None:
    few = judge(winner(3.0, "average_precision"), Data(share=0.004), None)
    assert "test rows are too few: average_precision is undefined on many resamples" in few.reason
    data = Data(share=0.004)
    data._test = data._test.set_column(2, "y", pa.array(["a"] * data._test.num_rows))
    none = judge(winner(3.0, "average_precision"), data, None)
    assert "average_precision is undefined on the" in none.reason


def test_a_worse_version_does_not_replace_the_champion(champion: Write) -> None:
    data = Data()
    worse = judge(winner(-3.0, "auroc"), data, champion(3.0, data))
    assert not worse.promote
    decision = judge(winner(3.0), data, champion(-3.0, data))
    assert (decision.promote, decision.verdict, decision.against) == (True, "better", 7)
    assert "of version 7 on the same rows" in decision.reason


def test_the_same_model_again_is_as_good(champion: Write) -> None:
    data = Data()
    decision = judge(winner(3.0), data, champion(3.0, data))
    assert (decision.promote, decision.verdict) == (True, "as good")


def test_a_champion_reads_the_same_rows_by_its_own_preprocessing(champion: Write) -> None:
    data, other = Data(), Data()
    columns = rows(500, 5).rename_columns(["z", "x", "y"])  # its first input is z
    schema = infer_schema(columns, target="y", settings=SchemaSettings())
    other.preprocessor = Preprocessor.fit(
        schema, observe(columns, schema, "binary"), PreprocessSettings(), "binary"
    )
    decision = judge(winner(3.0), data, champion(3.0, other, data_hash="other"))
    assert (decision.promote, decision.verdict) == (True, "better")
    assert "it was trained on other data" in decision.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"columns": ["x", "extra", "y"]}, "it reads columns that these data lack: extra"),
        ({"columns": ["x", "z", "goal"]}, "it predicts 'goal' (binary), not 'y' (binary)"),
        ({"labels": ["no", "yes"]}, "its classes are ['no', 'yes'], not ['a', 'b']"),
    ],
)
def test_a_champion_of_other_data_keeps_its_place(
    change: dict[str, Any], reason: str, champion: Write
) -> None:
    table = rows(500, 1)
    if labels := change.get("labels"):
        named = np.where(np.array(table["y"].to_pylist()) == "a", *labels)
        table = table.set_column(2, "y", pa.array(named))
    table = table.rename_columns(change.get("columns", table.column_names))
    other = Data()
    schema = infer_schema(table, target=table.column_names[2], settings=SchemaSettings())
    other.preprocessor = Preprocessor.fit(
        schema, observe(table, schema, "binary"), PreprocessSettings(), "binary"
    )
    decision = judge(winner(3.0), Data(), champion(3.0, other))
    assert (decision.promote, decision.verdict) == (False, "not comparable")
    assert f"it cannot be compared with version 7: {reason}" in decision.reason


def test_a_champion_whose_bundle_is_torn_keeps_its_place(champion: Write) -> None:
    version, folder = champion(3.0, Data())
    (folder / "weights.safetensors").write_bytes(b"")
    decision = judge(winner(3.0), Data(), (version, folder))
    assert (decision.promote, decision.verdict) == (False, "not comparable")
    assert "weights.safetensors" in decision.reason


def test_the_other_class_may_be_the_positive_one(champion: Write) -> None:
    data, other = Data(), Data()
    turned = replace(data.preprocessor.target, classes=("b", "a"))
    other.preprocessor = Preprocessor.fit(
        data.preprocessor.schema,
        observe(rows(500, 1), data.preprocessor.schema, "binary"),
        PreprocessSettings(),
        "binary",
        positive="a",
    )
    assert other.preprocessor.target == turned
    decision = judge(winner(3.0), data, champion(-3.0, other))
    assert decision.verdict == "as good"


def test_a_regression_is_compared_in_its_own_units(champion: Write) -> None:
    data = Data("regression")
    good = replace(winner(0.9, "rmse"), direction="minimize")
    assert judge(good, data, None).verdict == "first"
    assert judge(good, data, champion(0.1, data)).verdict == "better"
    poor = replace(winner(0.3, "mae"), direction="minimize")
    assert judge(poor, data, champion(0.9, data)).verdict == "worse"
    assert judge(winner(0.0, "rmse"), data, None).verdict == "no better than a constant"


def test_data_prepared_before_test_rows_were_kept_are_compared_where_they_are_the_same(
    champion: Write,
) -> None:
    data = Data(raw=False)
    assert judge(winner(3.0), data, champion(-3.0, data)).verdict == "better"
    decision = judge(winner(3.0), data, champion(-3.0, data, data_hash="other"))
    assert decision.verdict == "not comparable"
    assert "kept no test rows" in decision.reason


PICKY = """
class Youden:
    direction = "maximize"

    def __call__(self, prediction, truth):
        if not truth.any():
            raise ValueError("only one class is present")
        said = (prediction > 0.5).float()
        return said[truth == 1].mean() - said[truth == 0].mean()
"""


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.5, "first"), (0.02, "first"), (0.004, "no better")]
)
def test_a_metric_of_the_users_may_refuse_some_resamples(
    share: float, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picky_measures.py").write_text(PICKY)
    monkeypatch.syspath_prepend(tmp_path)
    config = winner(3.0, "youden").config
    config["task"]["metrics"]["youden"] = {"_target_": "picky_measures.Youden"}  # type: ignore[index]
    decision = judge(replace(winner(3.0, "youden"), config=config), Data(share=share), None)
    assert decision.verdict.startswith(verdict)
