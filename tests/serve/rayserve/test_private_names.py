"""An endpoint does not start where a private name that it depends on is gone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rayml.errors import ServeError
from rayml.serve.endpoint import start
from rayml.serve.ingress.ingress import Ingress, environment
from rayml.serve.ingress.ports import Ports
from rayml.serve.rayserve import private_names
from rayml.serve.rayserve.grpc.transport import grpc_environment
from rayml.serve.rayserve.private_names import (
    Private,
    attribute,
    require_private_names,
    require_variables,
)
from rayml.serve.rayserve.starting import start_timeouts
from rayml.settings.serve import HaproxySettings, ServeSettings


@pytest.mark.parametrize("name", Private, ids=lambda each: each.name)
def test_an_endpoint_does_not_start_without_a_private_name(
    name: Private, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(*name.place())
    with pytest.raises(ServeError) as refused:
        start(Path("nowhere"), version="1", settings=ServeSettings())
    assert ".".join(name.value) in str(refused.value)
    assert "rayml's requirements.lock" in str(refused.value)


def test_a_module_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve._private.default_impl", None)
    with pytest.raises(ServeError, match=r"has no ray\.serve\._private\.default_impl\.add_grpc"):
        require_private_names()


def test_what_is_gone_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = Private.ADD_GRPC_ADDRESS.place()
    monkeypatch.delattr(owner, name)
    with pytest.raises(ServeError, match="add_grpc_address"):
        Private.ADD_GRPC_ADDRESS.replace(print)
    assert not hasattr(owner, name)


def test_what_is_there_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = Private.ADD_GRPC_ADDRESS.place()
    monkeypatch.setattr(owner, name, getattr(owner, name))
    Private.ADD_GRPC_ADDRESS.replace(print)
    assert getattr(owner, name) is print is Private.ADD_GRPC_ADDRESS.find()


def test_an_attribute_that_is_gone_is_named_with_its_owner() -> None:
    assert attribute(Path("x"), "name") == "x"
    with pytest.raises(ServeError, match=r"has no PosixPath\._app\. Install the Ray"):
        attribute(Path("x"), "_app")


def variables(ingress: Ingress) -> dict[str, str]:
    """All that an endpoint sets for Serve."""
    ports = Ports()
    try:
        haproxy = HaproxySettings(log="stderr")
        found = environment(ingress, host="127.0.0.1", arrival_s=1, ports=ports, haproxy=haproxy)
    finally:
        ports.release()
    found |= start_timeouts()
    return grpc_environment(found, "127.0.0.1", ServeSettings(), fallback_port=1)


@pytest.mark.parametrize("ingress", ["haproxy", "proxy"])
def test_serve_reads_all_variables_that_an_endpoint_sets(ingress: Ingress) -> None:
    require_variables(variables(ingress))


def test_a_variable_that_serve_does_not_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    names, known = variables("haproxy"), private_names._variables()
    for name in names:
        if not name.startswith("RAY_SERVE_"):
            continue
        monkeypatch.setattr(private_names, "_variables", lambda name=name: known - {name})
        with pytest.raises(ServeError, match=f"has no environment variable {name}"):
            require_variables(names)
