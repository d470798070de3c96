"""What a file may say of a component before anybody asks whether it may be built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rayml.config.components.build import build
from rayml.config.components.stored_node import MOST_CHARACTERS, MOST_VALUES, NodeField, StoredNode
from rayml.errors import BuildError

NODE = {"_target_": "rayml.models.nets.mlp.MLP", "width": 8, "sizes": [1, {"a": None, "b": "x"}]}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
names = st.text(min_size=1, max_size=5)
lists = scalars | st.lists(scalars, max_size=3)
values = lists | st.lists(lists, max_size=3) | st.dictionaries(names, lists, max_size=3)


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_plain_values_are_read_and_given_back() -> None:
    node = StoredNode.of(NODE)
    assert node.target == "rayml.models.nets.mlp.MLP"
    assert node.plain() == NODE
    assert StoredNode.of(node) is node


@given(st.dictionaries(names, values, max_size=4))
def test_json_gives_back_what_was_written(arguments: dict[str, Any]) -> None:
    adapter: TypeAdapter[StoredNode] = TypeAdapter(NodeField)
    node = StoredNode.of({"_target_": "a.B", **arguments})
    assert adapter.validate_json(adapter.dump_json(node)) == node


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": {"_target_": "os.system", "command": "id"}}, "inside the argument width"),
        ({"a": [0, {"b": {"_target_": "os.system"}}]}, r"inside the argument a\.1\.b"),
        ({"a": nested(9)}, "levels"),
        ({"a": [0] * MOST_VALUES}, "10,000 values"),
        ({"a": "x" * (MOST_CHARACTERS + 1)}, "100,000 characters"),
        ({"a": 10**30}, "64 bits"),
        ({"a": float("nan")}, "has a NaN in the argument a"),
        ({"a": {3: 1}}, "a key that is not a string"),
        ({"a": object()}, "a object instead of a plain value"),
        ({"a": b"x"}, "a bytes instead of a plain value"),
    ],
)
def test_what_is_not_plain_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        StoredNode.of({"_target_": "rayml.models.nets.mlp.MLP", **arguments})


@pytest.mark.parametrize("node", [None, 3, "a.b", [], {}, {"_target_": 3}, {"_target_": None}])
def test_what_is_no_node_is_refused(node: object) -> None:
    with pytest.raises(BuildError, match="mapping with a _target_"):
        StoredNode.of(node)


def test_a_mapping_that_holds_itself_ends() -> None:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    with pytest.raises(BuildError, match="levels"):
        StoredNode.of({"_target_": "a.B", "x": circle})


def test_a_stored_node_cannot_be_given_to_build() -> None:
    with pytest.raises((BuildError, AttributeError)):
        build(StoredNode.of({"_target_": "builtins.dict"}))  # type: ignore[arg-type]
