"""What a file names is built if it is registered or trusted, wherever in the file it stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rayml.config.components.registered import OWN
from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.config.components.trusted import build_trusted, locate_trusted, require_trusted
from rayml.config.compose import compose
from rayml.config.stored import StoredConfig, require_trusted_params
from rayml.errors import BuildError, ConfigError, InvalidConfigError
from rayml.types import FeatureShape
from tests.config.components.targets import TRICKS, standard_library

SHAPE = {"shape": FeatureShape(3), "outputs": 1}
MLP = "rayml.models.nets.mlp.MLP"
NETS = """
import os
import subprocess
from os import system
from pathlib import Path
from subprocess import Popen as Runner

import torch
from torch import nn
from torch.nn import Linear
from {package}.more import Deep

Path({marker!r}).touch()


class Net(nn.Module):
    def __init__(self, shape, outputs, width: int = 4, names: list[str] | None = None):
        super().__init__()
        self.layer = nn.Linear(shape.numeric, outputs)

    class Inner(nn.Module):
        pass


class Source:
    def fingerprint(self): ...
    def read(self): ...


class Metric:
    direction = "maximize"
    def __call__(self, prediction, target): ...


class Thing:
    def __init__(self, **anything): ...


def make(shape, outputs, width=4) -> nn.Module:
    return Net(shape, outputs, width)


def make_own(shape, outputs) -> "Net":
    return Net(shape, outputs)


def unsaid(shape, outputs):
    raise AssertionError


def wipe(shape, outputs) -> None:
    raise AssertionError


if True:
    class Conditional(Net):
        pass

Alias = Net
Made = type("Made", (Net,), {{}})
"""


def node(target: str, **arguments: Any) -> StoredNode:
    return StoredNode(target, arguments)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a module whose import leaves a file."""
    package = tmp_path / "shop"
    package.mkdir()
    marker = tmp_path / "imported"
    (package / "__init__.py").write_text("from shop.nets import Net as Offered\n")
    (package / "nets.py").write_text(NETS.format(package="shop", marker=str(marker)))
    (package / "more.py").write_text("from torch import nn\nclass Deep(nn.Module):\n    pass\n")
    (package / "script.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [each for each in sys.modules if each.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing and calling fail the test."""

    def refuse(*values: object, **more: object) -> None:
        pytest.fail(f"it ran: {values}")

    monkeypatch.setattr("rayml.config.components.trusted.import_module", refuse)
    monkeypatch.setattr("rayml.config.components.trusted.build", refuse)
    monkeypatch.setattr("rayml.config.components.build.locate", refuse)


def test_own_components_are_built_by_their_names() -> None:
    model = build_trusted(node(MLP, width=8, embedding=None), "model", ONLY_OWN, **SHAPE)
    assert model.head.weight.shape == (1, 8)


def test_every_own_component_exists_and_is_of_its_role() -> None:
    for role, names in OWN.items():
        for name in names:
            assert isinstance(locate_trusted(name, role, ONLY_OWN), type), name


def test_own_components_are_those_of_their_role_only() -> None:
    with pytest.raises(BuildError, match="rayml has no source named"):
        require_trusted(node(MLP), "source", ONLY_OWN)
    with pytest.raises(BuildError, match="rayml has no model named"):
        require_trusted(
            node("rayml.data.sources.sql.SqlSource", url="x", query="y"), "model", ONLY_OWN
        )


@pytest.mark.usefixtures("nothing_runs")
def test_nothing_of_the_standard_library_is_called_for_any_role(tmp_path: Path) -> None:
    targets = [*standard_library(), *TRICKS]
    assert len(targets) > 5000
    for trust in (ONLY_OWN, Trust(modules=("shop.nets",), folders=(str(tmp_path),))):
        for role in OWN:
            for target in targets:
                with pytest.raises(BuildError):
                    build_trusted(node(target, command="id"), role, trust)


@pytest.mark.usefixtures("nothing_runs")
def test_nothing_is_called_wherever_a_node_stands_in_a_stored_config() -> None:
    plain = compose(["data=wine"]).plain
    targets = [*standard_library()[::200], *TRICKS, MLP]
    places = {
        "model": lambda one: {"model": one},
        "model.width": lambda one: {"model": {**plain["model"], "width": one}},
        "model deep": lambda one: {"model": {**plain["model"], "width": [{"a": one}]}},
        "data.source": lambda one: {"data": {**plain["data"], "source": one}},
        "data": lambda one: {"data": one},
        "data.schema": lambda one: {"data": {**plain["data"], "schema": one}},
        "task.metrics": lambda one: {"task": {**plain["task"], "metrics": {"m": one}}},
        "train.optimizer": lambda one: {"train": {**plain["train"], "optimizer": one}},
        "settings of an optimizer": lambda one: {
            "train": {**plain["train"], "optimizer": {"target": one["_target_"], "arguments": {}}}
        },
        "train.schedule": lambda one: {"train": {**plain["train"], "schedule": one}},
        "sampler": lambda one: {"search": {**plain["search"], "sampler": {"options": {"f": one}}}},
        "trackers": lambda one: {"search": {**plain["search"], "trackers": [one]}},
        "a new section": lambda one: {"hooks": {"on_start": one}},
        "space": lambda one: {"space": {"model": {"width": {**_leaf(one), "type": "categorical"}}}},
    }
    for target in targets:
        for place, change in places.items():
            if (place, target) == ("model", MLP):
                continue
            stored = StoredConfig(Path("config.yaml"), {**plain, **change({"_target_": target})})
            with pytest.raises(InvalidConfigError, match=r"config\.yaml"):
                stored.trusted(ONLY_OWN)
        if target != MLP:
            _refused_as_a_choice(plain, target)


def _leaf(choice: object) -> dict[str, Any]:
    return {"choices": [8, choice]}


def _refused_as_a_choice(plain: dict[str, Any], target: str) -> None:
    leaf = {"type": "categorical", "choices": [MLP, target]}
    text = json.dumps({"m": {"_target_": target}})
    told = {"type": "categorical", "choices": ["{}", text]}
    for space in (
        {"model": {"_target_": leaf}},
        {"model._target_": leaf},
        {"task.metrics": told},
        {"task": {"metrics": told}},
        {"train.optimizer": {**told, "choices": [json.dumps({"target": target})]}},
    ):
        with pytest.raises(InvalidConfigError):
            StoredConfig(Path("config.yaml"), {**plain, "space": space}).trusted(ONLY_OWN)
    for params in (
        {"train.optimizer.target": target},
        {"train.optimizer._target_": target},
        {"model._target_": target},
        {"model.width": {"_target_": target}},
        {"task.metrics": text},
        {"model.width": json.dumps([{"_target_": target}])},
        {"train.optimizer": json.dumps({"target": target})},
    ):
        with pytest.raises(BuildError):
            require_trusted_params(params, ONLY_OWN)


def test_a_stored_config_of_own_components_is_trusted_but_not_whom_it_trusts() -> None:
    plain = compose(["data=wine", "trust.modules=[os]"]).plain
    leaf = {"type": "categorical", "choices": [MLP, "rayml.models.nets.resnet.TabularResNet"]}
    plain["space"] = {"model": {"_target_": leaf}}
    composed = StoredConfig(Path("config.yaml"), plain).trusted(ONLY_OWN)
    assert composed.problems == ()
    assert "trust" not in composed.plain
    require_trusted_params({"model._target_": MLP, "model.width": 3}, ONLY_OWN)


TRUSTS = {
    "module": lambda shop: Trust(modules=("shop.nets",)),
    "package": lambda shop: Trust(modules=("shop",)),
    "folder": lambda shop: Trust(folders=(str(shop),)),
}


@pytest.mark.parametrize("trust", TRUSTS)
def test_trusted_modules_components_are_built(shop: Path, trust: str) -> None:
    trusted = TRUSTS[trust](shop)
    for name in ("Net", "make", "make_own", "Conditional"):
        model = build_trusted(node(f"shop.nets.{name}"), "model", trusted, **SHAPE)
        assert isinstance(model, torch.nn.Module)
    require_trusted(node("shop.nets.Net", width=3, names=["a"]), "model", trusted)
    require_trusted(node("shop.nets.Source"), "source", trusted)
    require_trusted(node("shop.nets.Metric"), "metric", trusted)


def test_a_component_that_the_user_named_is_trusted_by_itself(shop: Path) -> None:
    trust = Trust(targets=frozenset({"shop.Offered"}))
    assert build_trusted(node("shop.Offered"), "model", trust, **SHAPE) is not None
    with pytest.raises(BuildError, match=r"trust\.modules=\[shop\.nets\]"):
        require_trusted(node("shop.nets.Net"), "model", trust)


def test_what_a_trusted_module_offers_of_another_trusted_one_is_built(shop: Path) -> None:
    trust = Trust(modules=("shop",))
    assert build_trusted(node("shop.Offered"), "model", trust, **SHAPE) is not None
    with pytest.raises(BuildError, match="imports it from code that is not trusted"):
        require_trusted(node("shop.nets.Deep"), "model", Trust(modules=("shop.nets",)))


@pytest.mark.parametrize("trust", TRUSTS)
@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "system", "subprocess.run", "Runner", "torch.nn.Linear", "nn.Linear"),
        *("Linear", "Thing", "unsaid", "wipe", "Alias", "Made", "Net.forward", "Net.Inner"),
        *("Net.__init__", "__import__", "__builtins__.eval", "__loader__.load_module", "Path"),
        *("Source", "Metric", "nothing", "Net ", "", ".Net", "Net()"),
    ],
)
def test_what_else_a_trusted_module_has_is_refused(shop: Path, trust: str, name: str) -> None:
    with pytest.raises(BuildError):
        build_trusted(node(f"shop.nets.{name}"), "model", TRUSTS[trust](shop), **SHAPE)


def test_a_module_that_has_no_such_component_is_not_imported(shop: Path) -> None:
    trust = Trust(folders=(str(shop),))
    (shop / "shop" / "__init__.py").write_text("")
    with pytest.raises(BuildError, match="has no class or function Net"):
        require_trusted(node("shop.script.Net"), "model", trust)
    assert not (shop / "imported").exists()


def test_what_is_not_trusted_is_not_imported(shop: Path) -> None:
    for trust in (ONLY_OWN, Trust(modules=("shop.more", "sho", "shop.net", "shop.nets.Net"))):
        with pytest.raises(BuildError, match="not trusted; none of it ran"):
            require_trusted(node("shop.nets.Net"), "model", trust)
    assert not (shop / "imported").exists()
    assert "shop" not in sys.modules


def test_a_folder_trusts_what_is_imported_from_it_alone(shop: Path, tmp_path: Path) -> None:
    """Neither an installed package nor a virtual environment inside the folder."""
    for place in ("json", ".venv/lib/pack", "shop/vendored"):
        (shop / place).mkdir(parents=True)
        (shop / place / "__init__.py").write_text("class JSONDecoder: ...\n")
    trust = Trust(folders=(str(shop),))
    for target in ("json.JSONDecoder", "pack.JSONDecoder", ".venv.lib.pack.JSONDecoder"):
        assert not trust.allows(target)
    assert trust.allows("shop.vendored.JSONDecoder")
    assert not Trust(folders=(str(shop / "shop"),)).allows("shop.nets.Net")
    assert not Trust(folders=(str(tmp_path / "absent"),)).allows("shop.nets.Net")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": "8"}, "argument width of .* Write it as int$"),
        ({"width": True}, "argument width of .* Write it as int$"),
        ({"width": None}, "argument width of .* Write it as int$"),
        ({"embedding": 1.5}, r"argument embedding of .* Write it as int \| None$"),
        ({"dropout": "x"}, "argument dropout of .* Write it as float$"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
        ({"shape": [1]}, "'shape' of .*, which rayml itself gives"),
        ({"self": 1}, "does not take the arguments"),
    ],
)
def test_arguments_are_those_of_the_constructor(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        require_trusted(node(MLP, **arguments), "model", ONLY_OWN)


def test_those_of_a_users_class_are_checked_likewise(shop: Path) -> None:
    trust = Trust(modules=("shop",))
    for arguments in ({"width": "x"}, {"names": "x"}, {"names": [1]}, {"colour": 1}):
        with pytest.raises(BuildError):
            require_trusted(node("shop.nets.Net", **arguments), "model", trust)


def test_the_remedy_works_as_it_is_printed(shop: Path) -> None:
    trust = Trust(modules=("other",))
    with pytest.raises(ConfigError) as caught:
        require_trusted(node("shop.nets.Net"), "model", trust)
    assert "trust.modules=[other,shop.nets]" in caught.value.remedy
    modules = compose(["trust.modules=[other,shop.nets]"]).typed().trust.modules
    require_trusted(node("shop.nets.Net"), "model", Trust(modules=modules or ()))


@pytest.mark.parametrize("modules", ["[os.]", "['os system']", "[3]", "['']", "os", "[a/b]"])
def test_modules_that_are_none_are_told(modules: str) -> None:
    assert any("trust.modules" in each for each in compose([f"trust.modules={modules}"]).problems)
