"""Component nodes become objects, or errors that name what is wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rayml.config.components.build import build, check, imports_users_code, is_node, locate
from rayml.errors import BuildError, ConfigError
from rayml.types import FeatureShape


@dataclass
class Wheel:
    radius: float


@dataclass
class Car:
    wheel: Wheel
    seats: int = 4


HERE = f"{__name__}"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module: Any = sys.modules[Wheel.__module__]
    monkeypatch.setitem(sys.modules, HERE, module)


def test_builds_nested_nodes_first() -> None:
    node = {"_target_": f"{HERE}.Car", "wheel": {"_target_": f"{HERE}.Wheel", "radius": 0.3}}
    assert build(node) == Car(Wheel(0.3), 4)


def test_extra_arguments_join_the_nodes_own() -> None:
    assert build({"_target_": f"{HERE}.Car", "seats": 2}, wheel=Wheel(1.0)) == Car(Wheel(1.0), 2)


def test_check_binds_without_building() -> None:
    check({"_target_": f"{HERE}.Car"}, "wheel")
    with pytest.raises(BuildError, match=r"missing a required argument: 'wheel'"):
        check({"_target_": f"{HERE}.Car"})


def test_unknown_argument_is_named() -> None:
    with pytest.raises(BuildError, match=r"unexpected keyword argument 'doors'"):
        build({"_target_": f"{HERE}.Wheel", "radius": 1, "doors": 3})


def test_nested_errors_surface() -> None:
    node = {"_target_": f"{HERE}.Car", "wheel": {"_target_": f"{HERE}.Wheel"}}
    with pytest.raises(BuildError, match="radius"):
        check(node)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Wheel", "names no module"),
        ("no_such_package.Thing", "ModuleNotFoundError"),
        ("json.nothing", "AttributeError"),
        ("json.__name__", "is a str. Name a class or a function"),
    ],
)
def test_bad_targets_are_refused(path: str, words: str) -> None:
    with pytest.raises(BuildError, match=words):
        locate(path)


def test_values_that_a_target_cannot_take_are_named() -> None:
    with pytest.raises(
        BuildError, match=r"MLP fails on its arguments .*ZeroDivisionError.*'embedding'"
    ) as caught:
        build(
            {"_target_": "rayml.models.nets.mlp.MLP", "embedding": 0},
            shape=FeatureShape(1),
            outputs=1,
        )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(ConfigError, match="dropout probability is outside of"):
        build({"_target_": "rayml.models.layers.dropout.Dropout", "units": 1, "p": 2})


def test_a_module_that_cannot_be_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_module.py").write_text("def build(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BuildError, match=r"SyntaxError: .*torn_module\.py, line 1"):
        locate("torn_module.build")


@pytest.mark.parametrize("node", [{}, {"_target_": ""}, {"_target_": 3}])
def test_a_node_needs_a_target(node: dict[str, Any]) -> None:
    with pytest.raises(BuildError, match="_target_"):
        build(node)


def test_is_node() -> None:
    assert is_node({"_target_": "a.b"})
    assert not is_node({"a": 1})
    assert not is_node("a.b")


def test_own_components_are_checked_without_an_import() -> None:
    code = (
        "import sys; from rayml.config.components.build import check;"
        " check({'_target_': 'rayml.models.nets.mlp.MLP', 'width': 3}, 'shape', 'outputs');"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_users_components_are_imported_by_a_check() -> None:
    own = {"_target_": "rayml.models.nets.mlp.MLP"}
    assert not imports_users_code(own)
    assert imports_users_code({"_target_": f"{HERE}.Car"})
    assert imports_users_code({**own, "inner": {"_target_": f"{HERE}.Wheel"}})
