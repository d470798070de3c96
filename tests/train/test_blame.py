"""An error names the user's own line, wherever it was raised."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayml.config.components.build import build
from rayml.errors import BuildError, DivergedError
from rayml.train.blame import explain, users_line
from rayml.types import FeatureShape


def test_a_line_that_calls_into_pytorch_is_the_users() -> None:
    layer = nn.Linear(3, 1)
    with pytest.raises(RuntimeError) as caught:
        layer(torch.ones(2, 4))
    assert "test_blame.py:" in users_line(caught.value)
    assert users_line(caught.value).endswith("layer(torch.ones(2, 4))")


def test_what_caused_an_error_counts() -> None:
    node = {"_target_": "tests.odd_models.RaisesAtOnce"}
    with pytest.raises(BuildError) as caught:
        build(node, shape=FeatureShape(3), outputs=1)
    assert 'raise ValueError("no such activation")' in users_line(caught.value)


def test_an_error_of_no_users_line_tells_where_it_was_raised() -> None:
    assert explain(DivergedError("the loss\nmust stay finite")) == (
        "DivergedError: the loss must stay finite"
    )
