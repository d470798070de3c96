"""What a config says of decisions: refused where it is nonsense, chosen on validation, judged."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from rayml.config.compose import compose
from rayml.errors import ConfigError
from rayml.models.estimators.members import Committee
from rayml.registry.bundle.manifest import write_manifest
from rayml.search.results.confirmation import read_confirmation
from rayml.settings.decide import CostSettings, DecideSettings
from rayml.stages.winners.decide import cost_rule, require_decidable
from rayml.stages.winners.judge import judge
from rayml.stages.winners.tested import tested as measured
from rayml.tasks.decisions.rule import DecisionRule, rule_of_costs
from rayml.types import TargetInfo
from tests.stages.winners.test_judge import Data, champion, member, weights, winner
from tests.stages.winners.test_tested import Bold, made

__all__ = ["champion"]  # a fixture

BINARY = TargetInfo("y", "binary", classes=("no", "yes"))
WHOLE = TargetInfo("y", "multiclass", classes=(0, 1, 2))
TRUTH = TargetInfo("y", "binary", classes=(False, True))
NUMBER = TargetInfo("y", "regression")


def cost(actual: Any, predicted: Any, value: float) -> CostSettings:
    return CostSettings(actual=actual, predicted=predicted, cost=value)


def by_cost(*costs: CostSettings) -> DecideSettings:
    return DecideSettings(metric="cost", costs=costs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metric": "cost"}, "metric=cost has no costs"),
        ({"costs": [{"actual": "a", "predicted": "b", "cost": 1}]}, "only metric=cost decides"),
        ({"metric": "auroc"}, "Input should be"),
        ({"metric": "cost", "costs": [{"actual": "a", "predicted": "b", "cost": 1e12}]}, "less"),
        ({"metric": "cost", "costs": [{"actual": "a", "cost": 1}]}, "required"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(given: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DecideSettings(**given)


def test_a_command_names_costs() -> None:
    composed = compose(
        [
            "confirm.decide.metric=cost",
            'confirm.decide.costs=[{actual: ">50K", predicted: "<=50K", cost: 5}]',
        ]
    )
    assert not composed.problems
    (found,) = composed.typed().confirm.decide.costs
    assert found == cost(">50K", "<=50K", 5)
    (problem,) = compose(["confirm.decide.metric=cost"]).problems
    assert problem.startswith("confirm.decide")


def test_costs_are_a_matrix_of_the_classes() -> None:
    rule = cost_rule(by_cost(cost("yes", "no", 4)), BINARY)
    assert rule.costs == ((0, 1), (4, 0))
    assert rule.threshold == pytest.approx(0.2)
    several = cost_rule(by_cost(cost(2, 0, 9), cost("1", 0, 0.5), cost(0, 0, -1)), WHOLE)
    assert several.costs == ((-1, 1, 1), (0.5, 0, 1), (9, 1, 0))
    # YAML reads `yes` as a truth value, and JSON writes True as true.
    assert cost_rule(by_cost(cost(True, False, 3)), TRUTH).costs == ((0, 1), (3, 0))
    assert cost_rule(by_cost(cost("TRUE", "false", 3)), TRUTH).costs == ((0, 1), (3, 0))


@pytest.mark.parametrize(
    ("decide", "target", "words"),
    [
        (DecideSettings(metric="f1"), NUMBER, "'y' is a number"),
        (DecideSettings(metric="f1"), WHOLE, "does not decide between the 3 classes"),
        (DecideSettings(metric="accuracy"), WHOLE, "balanced_accuracy or cost"),
        (by_cost(cost("yes", "maybe", 2)), BINARY, "a class that 'y' does not have"),
        (by_cost(cost("yes", "no", 2), cost("Yes", "no", 3)), BINARY, "names one cost twice"),
        (by_cost(cost("yes", "no", -1)), BINARY, "a wrong answer for 'yes' cheaper"),
        (by_cost(cost("yes", "yes", 2)), BINARY, "a wrong answer for 'yes' cheaper"),
        (by_cost(cost("yes", "no", 0)), BINARY, "every answer for 'yes' cost the same"),
    ],
)
def test_what_does_not_suit_the_target_is_refused(
    decide: DecideSettings, target: TargetInfo, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        require_decidable(decide, target)


def test_what_suits_is_let_pass() -> None:
    for decide, target in (
        (DecideSettings(), NUMBER),
        (DecideSettings(metric="f1"), BINARY),
        (DecideSettings(metric="balanced_accuracy"), WHOLE),
        (by_cost(cost(2, 0, 9)), WHOLE),
    ):
        require_decidable(decide, target)
    with pytest.raises(ConfigError, match="a metric named 'cost'"):
        require_decidable(by_cost(cost(2, 0, 9)), WHOLE, ["cost"])
    # A class that the first rows lack may be among the others.
    require_decidable(by_cost(cost(7, 0, 9)), WHOLE, whole=False)
    with pytest.raises(ConfigError, match="does not have"):
        require_decidable(by_cost(cost("maybe", "no", 9)), BINARY, whole=False)


# ---------------------------------------------------------------- chosen and measured


def test_costs_are_applied_and_measured(tmp_path: Path) -> None:
    models = Committee([Bold("multiclass")])
    plain, _ = made(models)
    decide = by_cost(cost("top", "mid", 20), cost("top", "low", 20))
    calibration, _ = made(models, decide=decide)
    rule = calibration.rule
    assert rule is not None
    assert rule.costs is not None
    assert max(rule.costs[plain.task.info.classes.index("top")]) == 20
    metrics, _ = measured(calibration, tmp_path)
    before = plain.metrics()
    assert "cost" not in before
    # Beside what the most probable class costs on the same rows.
    usual = plain.served.measure(plain.task, plain.test)
    assert usual["accuracy"] > (metrics["accuracy"] or 0)
    answered = plain.task.predict(plain.served.pooled(plain.task, plain.test.features))
    truth = torch.from_numpy(plain.test.target)
    dear = float(np.mean(rule.matrix[truth, plain.task.chosen(answered)]))
    assert (metrics["cost"] or 9) < dear
    assert calibration.validation_metrics()["cost"] == pytest.approx(metrics["cost"], abs=0.15)
    for name in ("log_loss", "auroc", "loss"):
        assert metrics[name] == before[name]
    assert calibration.calibrated_winner.rule == rule


def test_other_rules_measure_the_test_rows_anew(tmp_path: Path) -> None:
    models = Committee([Bold("multiclass")])
    calibration, _ = made(models, decide=by_cost(cost("top", "mid", 20)))
    first = measured(calibration, tmp_path)
    stored = read_confirmation(tmp_path)
    assert stored is not None
    for decide, reads in ((by_cost(cost("top", "mid", 20)), 0), (DecideSettings(), 1)):
        again, data = made(models, decide=decide)
        known = replace(again, winner=replace(again.winner, confirmation=stored))
        found = measured(known, tmp_path)
        assert data.read.count("test") == reads
        assert (found == first) is (reads == 0)


def test_a_rule_for_a_number_is_refused_by_the_class_of_its_task() -> None:
    calibration, _ = made(Committee([Bold("multiclass")]), decide=DecideSettings(metric="f1"))
    with pytest.raises(ConfigError, match="does not decide between the 3 classes"):
        _ = calibration.rule


# ---------------------------------------------------------------- judged

TIMID = {**weights(1.0), "head.bias": torch.tensor([-3.0])}
"""In the right order, and too rarely positive."""


def timid(rule: DecisionRule | None, metric: str = "accuracy") -> Any:
    return replace(winner(1.0, metric), members=[member(TIMID)], rule=rule)


BOLD = DecisionRule(metric="accuracy", threshold=1 / (1 + math.exp(3)))


def test_a_metric_of_decisions_is_compared_by_what_each_answers(champion: Any) -> None:
    data = Data()
    held = champion(3.0, data)
    assert judge(timid(None), data, held).verdict == "no better than a constant"
    assert judge(timid(BOLD), data, held).verdict in {"as good", "better"}
    # The order of its probabilities is not touched.
    aurocs = [judge(timid(rule, "auroc"), data, held).reason for rule in (None, BOLD)]
    assert aurocs[0] == aurocs[1]


def test_a_champion_is_compared_by_its_own_rule(champion: Any) -> None:
    data = Data()
    version, folder = champion(3.0, data)
    path = folder / "bundle.json"
    never = {"metric": "f1", "threshold": 1.0}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decision_rule": never}))
    write_manifest(folder)
    decision = judge(winner(1.0), data, (version, folder))
    assert decision.verdict == "better"
    assert judge(winner(1.0, "auroc"), data, (version, folder)).verdict != "better"


def test_costs_are_what_is_compared(champion: Any) -> None:
    data = Data()
    held = champion(3.0, data)
    rule = rule_of_costs([[0.0, 1.0], [30.0, 0.0]])
    careful = replace(winner(3.0), rule=rule)
    decision = judge(careful, data, held)
    assert decision.verdict == "better"
    assert "cost " in decision.reason
    # By accuracy it is the worse one.
    assert judge(replace(careful, rule=None), data, held).verdict == "as good"
    always = replace(winner(0.0), rule=rule)
    assert judge(always, data, None).verdict == "no better than a constant"
