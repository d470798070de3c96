from __future__ import annotations

import torch
from torch import Tensor

from rayml.models.modules.stand_ins import MOST_CATEGORIES, choose_stand_in

NUMERIC = torch.linspace(-1, 1, 9).unsqueeze(1)
CODES = torch.ones(9, 2, dtype=torch.int64)


def model(*values: float) -> object:
    """Predicts a value a code of the second column, and something of the row."""

    def predict(numeric: Tensor, codes: Tensor) -> Tensor:
        return torch.tensor(values)[codes[:, 1]] + numeric.squeeze(1) * codes[:, 0]

    return predict


def choose(predict: object, codes: list[int], counts: list[int]) -> int:
    return choose_stand_in(
        predict,  # type: ignore[arg-type]
        NUMERIC,
        CODES,
        column=1,
        codes=codes,
        counts=counts,
    )


def test_the_nearest_to_the_average_is_chosen() -> None:
    assert choose(model(99.0, 0.0, 4.0, 10.0), [1, 2, 3], [1, 1, 1]) == 2
    # The average is by frequency.
    assert choose(model(99.0, 0.0, 4.0, 10.0), [1, 2, 3], [100, 1, 1]) == 1
    assert choose(model(99.0, 0.0, 4.0, 10.0), [3, 2, 1], [100, 1, 1]) == 3
    assert choose(model(99.0, 7.0), [1], [5]) == 1
    # Of equals the frequent one.
    assert choose(model(99.0, 3.0, 3.0), [2, 1], [2, 1]) == 2


def test_rows_are_compared_one_by_one() -> None:
    """A category that is right on average but wrong on each row is no typical one."""

    def predict(numeric: Tensor, codes: Tensor) -> Tensor:
        x = numeric.squeeze(1)
        return torch.stack([0 * x, 100 * x, 0 * x - 1, 0 * x + 1])[codes[:, 1], torch.arange(9)]

    assert choose(predict, [1, 2, 3], [1, 100, 90]) == 2


def test_all_classes_count() -> None:
    probabilities = torch.eye(3).repeat(2, 1)

    def predict(numeric: Tensor, codes: Tensor) -> Tensor:
        return probabilities[codes[:, 1]]

    assert choose(predict, [1, 2, 3], [1, 5, 1]) == 2


def test_the_given_rows_are_left_as_they_are() -> None:
    before = CODES.clone()
    choose(model(9.0, 1.0, 2.0), [1, 2], [1, 1])
    assert torch.equal(CODES, before)


def test_only_frequent_ones_of_very_many_are_compared() -> None:
    asked = []

    def predict(numeric: Tensor, codes: Tensor) -> Tensor:
        asked.append(int(codes[0, 1]))
        return codes[:, 1].float()

    many = list(range(1, 1000))
    assert choose(predict, many, [1] * len(many)) in many[:MOST_CATEGORIES]
    assert asked == many[:MOST_CATEGORIES]
