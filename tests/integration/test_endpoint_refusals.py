"""Endpoints that cannot start say why, and leave nothing running."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.errors import BundleError, ServeError
from rayml.serve.endpoint import start
from rayml.settings.serve import KeySettings, ReplicaSettings, ServeSettings
from rayml.testing.bundles import untrained_bundle


def settings(**values: object) -> ServeSettings:
    return ServeSettings(**{"port": 0, "ingress": "proxy", **values})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    return untrained_bundle(folder, table, target="y", task="binary")


def test_what_cannot_start_is_refused_before_anything_starts(
    bundle: Path, ray_session: None, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ServeError, match=f"^port {port} is already in use; choose another with serve.port$"
        ):
            start(bundle, version="1", settings=settings(port=port))
    absent = KeySettings(file=str(tmp_path / "absent"))
    for values, message in (
        ({"host": "example"}, "neither an IP address nor localhost"),
        ({"host": "0.0.0.0"}, "file of keys .* cannot be read"),
        ({"keys": KeySettings(variable="RAYML_NO_SUCH")}, "RAYML_NO_SUCH"),
    ):
        with pytest.raises(ServeError, match=message):
            start(bundle, version="1", settings=settings(**{"keys": absent, **values}))
    with pytest.raises(ServeError, match="CPU"):
        start(bundle, version="1", settings=settings(replicas=ReplicaSettings(cpu=1000)))
    torn = tmp_path / "torn"
    shutil.copytree(bundle, torn)
    (torn / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        start(torn, version="1", settings=settings())


def test_a_bundle_that_does_not_load_is_reported_and_leaves_nothing(
    bundle: Path, ray_session: None, tmp_path: Path
) -> None:
    from ray import serve

    from rayml.registry.bundle.manifest import write_manifest

    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    info = json.loads((broken / "bundle.json").read_text())
    info["model"]["_target_"] = "no.such.model"
    (broken / "bundle.json").write_text(json.dumps(info))
    (broken / "manifest.json").unlink()
    write_manifest(broken)
    with pytest.raises(ServeError, match=r"no\.such\.model"):
        start(broken, version="1", settings=settings())
    assert not serve.status().proxies
