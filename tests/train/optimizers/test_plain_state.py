"""Nested state comes back as it was, through JSON and tensors alone."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayml.train.optimizers.plain_state import pack, unpack

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
states = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(), inner)
    ),
)


@given(state=states)
def test_a_state_comes_back(state: object) -> None:
    tensors: dict[str, torch.Tensor] = {}
    packed = json.loads(json.dumps(pack(state, tensors), allow_nan=False))
    found = unpack(packed, tensors)
    assert found == state
    assert repr(found) == repr(state)


def test_tensors_are_kept_apart_and_what_is_unknown_is_named() -> None:
    tensors: dict[str, torch.Tensor] = {}
    given = torch.arange(3)
    packed = pack({0: {"mean": given, "rest": [given, math.nan]}}, tensors)
    assert sorted(tensors) == ["state.0.mean", "state.0.rest.0"]
    found = unpack(json.loads(json.dumps(packed, allow_nan=False)), tensors)
    assert found[0]["mean"] is given
    assert math.isnan(found[0]["rest"][1])
    with pytest.raises(TypeError, match=r"state.0.lock is a object"):
        pack({0: {"lock": object()}}, {})
