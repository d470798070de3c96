"""A rule decides which class is answered; it is exact by costs, and chosen only beyond chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sklearn import metrics as reference

from rayml.tasks.class_task import ClassTask
from rayml.tasks.decisions.choose import _best, choose_balance, choose_threshold
from rayml.tasks.decisions.rule import ByThreshold, DecisionRule, costs_problem, rule_of_costs
from rayml.tasks.table import build_task
from rayml.types import TargetInfo

BINARY = TargetInfo("y", "binary", classes=("no", "yes"))
SEVERAL = TargetInfo("y", "multiclass", classes=("a", "b", "c"))
METRICS: tuple[ByThreshold, ...] = ("accuracy", "f1", "balanced_accuracy")
MEASURES: dict[str, Any] = {
    "accuracy": reference.accuracy_score,
    "f1": reference.f1_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
}


def task_of(info: TargetInfo, rule: DecisionRule | None) -> ClassTask:
    task = build_task(info).deciding(rule)
    assert isinstance(task, ClassTask)
    return task


def matrices(classes: int) -> st.SearchStrategy[list[list[float]]]:
    """Costs whose right answers cost the least."""
    extra = st.lists(st.integers(0, 9), min_size=classes, max_size=classes)
    rows = st.lists(extra, min_size=classes, max_size=classes)
    right = st.lists(st.integers(-3, 3), min_size=classes, max_size=classes)

    def made(given: tuple[list[list[int]], list[int]]) -> list[list[float]]:
        more, least = given
        for at, row in enumerate(more):
            row[at] = 0
            row[(at + 1) % classes] += 1
        return [[float(each + least[at]) for each in row] for at, row in enumerate(more)]

    return st.tuples(rows, right).map(made)


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_costs_answer_the_class_of_the_least_expected_one(
    info: TargetInfo, data: st.DataObject
) -> None:
    classes = len(info.classes)
    costs = data.draw(matrices(classes))
    task = task_of(info, rule_of_costs(costs))
    assert task.takes_rule(rule_of_costs(costs))
    shares = np.random.default_rng(0).dirichlet(np.ones(classes), 200)
    predictions = torch.from_numpy(shares[:, 1].copy() if classes == 2 else shares)
    found = task.chosen(predictions).numpy()
    expected = shares @ np.array(costs)
    best = expected.min(1)
    assert np.allclose(expected[np.arange(200), found], best, atol=1e-12)
    # What is certain is decided as by the most probable class, so that decisions can be compared.
    certain = task.decided(predictions)
    assert torch.equal(task.chosen(certain), torch.from_numpy(found))
    assert torch.equal(build_task(info).chosen(certain), torch.from_numpy(found))


def test_of_equally_cheap_classes_the_likeliest_is_answered() -> None:
    costs = [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    task = task_of(SEVERAL, rule_of_costs(costs))
    shares = torch.tensor([[0.3, 0.4, 0.3], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]])
    assert task.chosen(shares).tolist() == [1, 0, 2, 2]


def test_a_threshold_of_costs_is_that_of_the_textbook() -> None:
    # To miss costs 5, an alarm 1: answered from one in six on.
    rule = rule_of_costs([[0.0, 1.0], [5.0, 0.0]])
    assert rule.threshold == pytest.approx(1 / 6)
    assert rule_of_costs([[0.0, 1.0], [1.0, 0.0]]).threshold == 0.5


@pytest.mark.parametrize(
    ("costs", "problem"),
    [
        ([[0.0, 1.0]], "square"),
        ([[0.0, float("nan")], [1.0, 0.0]], "finite"),
        ([[2.0, 1.0], [1.0, 0.0]], "costs less"),
        ([[0.0, 0.0], [1.0, 0.0]], "costs less"),
        ([[0.0]], "costs less"),
        ([[0.0, 1.0], [1.0, 0.0]], ""),
    ],
)
def test_odd_costs_are_told(costs: list[list[float]], problem: str) -> None:
    found = costs_problem(costs)
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "f1"},
        {"metric": "cost", "threshold": 0.5},
        {"metric": "cost", "costs": [[0, 1], [1, 0]]},
        {"metric": "f1", "threshold": 0.0},
        {"metric": "f1", "threshold": 1.5},
        {"metric": "best", "threshold": 0.5},
        {"metric": "cost", "costs": [[0, 1, 1], [1, 0, 1]]},
    ],
)
def test_an_odd_rule_of_a_file_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DecisionRule).validate_python(given)


# ---------------------------------------------------------------- chosen by a metric


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_cut_is_better_than_the_best(metric: ByThreshold, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 25))
    steps = st.lists(st.integers(0, 12), min_size=size, max_size=size)
    positive = np.array(data.draw(steps)) / 12
    truth = np.array(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    truth[:2] = 0, 1
    threshold = _best(positive, truth, metric)
    assert 0 < threshold <= 1

    def score(cut: float) -> float:
        return float(MEASURES[metric](truth, positive >= cut))

    cuts = [*(np.arange(13) / 12 + 1e-9), 1e-9, 0.5]
    assert score(threshold) == pytest.approx(max(score(cut) for cut in cuts if cut <= 1))


def drawn(rows: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right probabilities of a class of that frequency, and true classes."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(np.log(share / (1 - share)), 1.5, rows)
    positive = 1 / (1 + np.exp(-odds))
    return positive, (rng.uniform(size=rows) < positive).astype(np.int64)


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy"])
def test_a_rare_class_is_answered_sooner(metric: ByThreshold) -> None:
    positive, truth = drawn(20_000, 0.05)
    rule = choose_threshold(positive, truth, metric)
    assert rule is not None
    assert rule.threshold is not None
    assert rule.compared is not None
    fresh, fresh_truth = drawn(50_000, 0.05, seed=1)
    gained = MEASURES[metric](fresh_truth, fresh >= rule.threshold)
    usual = MEASURES[metric](fresh_truth, fresh >= 0.5)
    assert gained > usual + 0.02
    # What is told of rows that did not set it holds for others.
    assert rule.compared.decided == pytest.approx(gained, abs=0.03)
    assert rule.compared.usual == pytest.approx(usual, abs=0.03)
    if metric == "f1":  # the best threshold is half the best F1 (Lipton et al. 2014)
        assert rule.threshold == pytest.approx(gained / 2, abs=0.05)
    else:  # and of balanced accuracy the frequency of the class
        assert rule.threshold == pytest.approx(truth.mean(), abs=0.03)


def test_no_threshold_is_taken_that_gains_by_chance_alone() -> None:
    # Right probabilities have no better threshold for accuracy than a half.
    taken = [choose_threshold(*drawn(300, 0.4, seed), "accuracy") is not None for seed in range(60)]
    assert np.mean(taken) < 0.2
    assert choose_threshold(*drawn(9, 0.5), "f1") is None
    assert choose_threshold(np.full(50, np.nan), np.arange(50) % 2, "f1") is None
    assert choose_threshold(np.full(50, 0.3), np.zeros(50, np.int64), "f1") is None


def test_a_model_that_is_off_gets_its_accuracy_back() -> None:
    positive, truth = drawn(5000, 0.4)
    rule = choose_threshold(positive**3, truth, "accuracy")
    assert rule is not None
    assert rule.threshold is not None
    assert rule.threshold ** (1 / 3) == pytest.approx(0.5, abs=0.08)  # accuracy is flat there


def shares_of(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right probabilities of three classes, the last of which is rare."""
    rng = np.random.default_rng(seed)
    odds = rng.normal([0.0, 0.0, -3.0], 1.2, (rows, 3))
    shares = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    return shares, (shares.cumsum(1) < rng.uniform(size=(rows, 1))).sum(1).clip(max=2)


def test_rare_ones_of_several_classes_are_answered_for_their_recall() -> None:
    rule = choose_balance(*shares_of(10_000))
    assert rule is not None
    assert rule.compared is not None
    shares, truth = shares_of(50_000, seed=1)
    decided = task_of(SEVERAL, rule).chosen(torch.from_numpy(shares)).numpy()
    gained = reference.balanced_accuracy_score(truth, decided)
    assert gained > reference.balanced_accuracy_score(truth, shares.argmax(1)) + 0.05
    assert rule.compared.decided == pytest.approx(gained, abs=0.03)
    # Weighing is exact: the class of the largest multiple of its frequency.
    counts = np.bincount(shares_of(10_000)[1])
    assert (decided == (shares / counts).argmax(1)).all()


def test_even_classes_are_left_and_so_are_few_rows() -> None:
    rng = np.random.default_rng(0)
    taken = []
    for _ in range(40):
        shares = rng.dirichlet([1, 1, 1], 300)
        truth = (shares.cumsum(1) < rng.uniform(size=(300, 1))).sum(1).clip(max=2)
        taken.append(choose_balance(shares, truth) is not None)
    assert np.mean(taken) < 0.4
    assert choose_balance(shares[:9], truth[:9]) is None
    # A class that calibration rows lack counts as one row of them.
    known = choose_balance(*(each[shares_of(2000)[1] < 2] for each in shares_of(2000)))
    assert known is None or known.costs is not None


# ---------------------------------------------------------------- what follows from it


def ruled() -> list[tuple[ClassTask, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    several = torch.rand(2, 50, 3, generator=generator).softmax(-1)
    costs = [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [9.0, 9.0, 0.0]]
    return [
        (task_of(BINARY, DecisionRule(metric="f1", threshold=0.3)), several[..., 0]),
        (task_of(BINARY, rule_of_costs([[0.0, 1.0], [4.0, 0.0]])), several[..., 0]),
        (task_of(SEVERAL, rule_of_costs(costs)), several),
    ]


@pytest.mark.parametrize("case", range(3))
def test_metrics_of_decisions_see_what_is_answered_and_the_others_do_not(case: int) -> None:
    task, predictions = ruled()[case]
    truth = torch.randint(len(task.info.classes), (50,), generator=torch.Generator().manual_seed(1))
    plain = build_task(task.info)
    labels = task.chosen(predictions)
    assert not torch.equal(labels, plain.chosen(predictions[0]).expand(labels.shape))
    average = "macro" if len(task.info.classes) > 2 else "binary"
    for name, measure in task.metrics.items():
        found = torch.as_tensor(measure(predictions, truth)).tolist()
        if name == "accuracy":
            expected = [reference.accuracy_score(truth, each) for each in labels]
        elif name == "balanced_accuracy":
            expected = [reference.balanced_accuracy_score(truth, each) for each in labels]
        elif name == "f1":
            expected = [reference.f1_score(truth, each, average=average) for each in labels]
        elif name == "cost":
            assert task.rule is not None
            expected = [task.rule.matrix[truth, each].mean() for each in labels]
        else:
            expected = torch.as_tensor(plain.metrics[name](predictions, truth)).tolist()
        assert found == pytest.approx(expected), name
    assert ("cost" in task.metrics) is (case > 0)
    assert "cost" not in plain.metrics


@pytest.mark.parametrize("case", range(3))
def test_every_form_of_an_answer_has_the_same_label(case: int) -> None:
    task, lanes = ruled()[case]
    predictions = lanes[0]
    codes = task.chosen(predictions)
    answers, values = task.answers(predictions), task.output_values(predictions)
    assert [task.info.classes.index(each["label"]) for each in answers] == codes.tolist()
    assert values["label"].tolist() == codes.tolist()
    assert values["probability"].tolist() == [each["probability"] for each in answers]
    for each in answers:
        assert each["probability"] == each["probabilities"][str(each["label"])]
    others = build_task(task.info).answers(predictions)
    apart = task.answers_apart(answers, others)
    assert apart.changed == int((codes != build_task(task.info).chosen(predictions)).sum()) > 0
    bins, _ = task.bins(predictions)
    if len(task.info.classes) > 2:
        assert bins.tolist() == codes.tolist()
    members = torch.stack([predictions, predictions * 0.5])
    spread = task.spread(members, predictions)
    assert (spread >= 0).all()


def test_feedback_counts_what_answers_cost() -> None:
    task = task_of(BINARY, rule_of_costs([[0.0, 1.0], [4.0, -1.0]]))
    answers = [{"label": each} for each in ("no", "yes", "no", "yes")]
    assert task.losses(answers, ["no", "no", "yes", "yes"]) == [0, 1, 4, -1]
    plain = task_of(BINARY, DecisionRule(metric="f1", threshold=0.3))
    assert plain.losses(answers, ["no", "no", "yes", "yes"]) == [0, 1, 1, 0]


def test_numbers_are_not_decided() -> None:
    task = build_task(TargetInfo("y", "regression"))
    rule = DecisionRule(metric="f1", threshold=0.3)
    assert task.deciding(rule).rule is None
    assert not task.takes_rule(rule)
    assert not build_task(SEVERAL).takes_rule(rule)
    assert not build_task(BINARY).takes_rule(rule_of_costs([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
