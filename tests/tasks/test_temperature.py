"""A temperature makes probabilities as bold as they are right, and changes no label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rayml.tasks.table import build_task
from rayml.tasks.temperature import fit_temperature
from rayml.types import TargetInfo

BINARY = TargetInfo("y", "binary", classes=("no", "yes"))
SEVERAL = TargetInfo("y", "multiclass", classes=("a", "b", "c", "d"))


def drawn(rows: int, classes: int, bold: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are `bold` times too sharp in their logarithms, and true classes."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(scale=1.5, size=(rows, classes))
    true = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    told = true**bold / (true**bold).sum(1, keepdims=True)
    codes = (true.cumsum(1) < rng.uniform(size=(rows, 1))).sum(1).clip(max=classes - 1)
    return told, codes


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("bold", [0.5, 2.0, 4.0])
def test_it_finds_how_much_too_bold_a_model_is(classes: int, bold: float) -> None:
    found = fit_temperature(*drawn(20_000, classes, bold))
    assert found == pytest.approx(bold, rel=0.05)


def test_it_leaves_a_model_that_is_right_and_one_of_few_rows() -> None:
    told, codes = drawn(9, 3, 4.0)
    assert fit_temperature(told, codes) == 1
    # Of many samples of a model that is right, about half have no better temperature on other rows.
    left = [fit_temperature(*drawn(100, 3, 1.0, seed)) == 1 for seed in range(40)]
    assert np.mean(left) > 0.5
    assert fit_temperature(np.full((50, 2), np.nan), np.zeros(50, np.int64)) == 1


def test_it_never_raises_the_log_loss_of_validation_rows() -> None:
    task = build_task(SEVERAL)
    for seed in range(30):
        told, codes = drawn(60, 4, [0.7, 1.0, 1.4][seed % 3], seed)
        found = fit_temperature(told, codes)
        before, after = (
            float(task.metrics["log_loss"](task.tempered(torch.from_numpy(told), each), truth))
            for truth in [torch.from_numpy(codes)]
            for each in (1.0, found)
        )
        assert after <= before + 1e-12


def test_a_few_rows_that_are_all_right_make_no_model_sure() -> None:
    found = []
    for rows in (30, 300, 30_000):
        told = np.tile([0.7, 0.3], (rows, 1))
        temperature = fit_temperature(told, np.zeros(rows, np.int64))
        assert temperature >= 0.1
        sure = 0.7 ** (1 / temperature)
        found.append(sure / (sure + 0.3 ** (1 / temperature)))
    # As certain as 30 of 30 rows and 50 at .7 are, and so on.
    expected = [(rows + 0.7 * 50) / (rows + 50) for rows in (30, 300, 30_000)]
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0, 10.0])
def test_no_label_changes(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    binary = torch.rand(10_000, generator=generator)
    binary[:5] = torch.tensor([0.0, 1.0, 0.5, 0.49999997, 0.50000006])
    task = build_task(BINARY)
    scaled = task.tempered(binary, temperature)
    assert torch.equal(task.chosen(scaled), task.chosen(binary))
    assert ((scaled >= 0) & (scaled <= 1)).all()
    several = torch.rand(10_000, 4, generator=generator)
    several[:2] = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]])
    several /= several.sum(1, keepdim=True)
    task = build_task(SEVERAL)
    scaled = task.tempered(several, temperature)
    assert torch.equal(task.chosen(scaled), task.chosen(several))
    torch.testing.assert_close(scaled.sum(1), torch.ones(10_000, dtype=torch.float64))


def test_it_divides_the_outputs_of_a_model() -> None:
    outputs = torch.randn(100, 4, generator=torch.Generator().manual_seed(0)).double()
    task = build_task(SEVERAL)
    torch.testing.assert_close(
        task.tempered(task.predict(outputs), 2.5), task.predict(outputs / 2.5)
    )
    task, outputs = build_task(BINARY), outputs[:, :1]
    torch.testing.assert_close(
        task.tempered(task.predict(outputs), 2.5), task.predict(outputs / 2.5)
    )


def test_numbers_have_none() -> None:
    task = build_task(TargetInfo("y", "regression"))
    values = torch.tensor([1.0, 2.0])
    assert task.tempered(values, 1.0) is values
