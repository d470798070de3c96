"""Answers are finite numbers, or none."""

from __future__ import annotations

import pytest
import torch

from rayml.errors import ServeError
from rayml.serve.predict.answer import require_finite

LARGEST = torch.finfo(torch.float32).max


@pytest.mark.parametrize(
    "numbers", [[0.5], [], [LARGEST, LARGEST, -1.0], [[0.1, 0.9], [LARGEST, LARGEST]]]
)
def test_finite_numbers_pass_whatever_their_sum(numbers: list[float]) -> None:
    require_finite(torch.tensor(numbers))


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_one_that_is_not_finite_is_refused(odd: float) -> None:
    with pytest.raises(ServeError, match=str(odd)):
        require_finite(torch.tensor([1.0, odd, LARGEST]))


def test_infinities_do_not_cancel() -> None:
    with pytest.raises(ServeError, match="inf"):
        require_finite(torch.tensor([float("inf"), -float("inf")]))
