"""gRPC on a real Ray Serve, with Triton's own client in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rayml.serve.endpoint import Endpoint, start
from rayml.serve.grpc.handlers import SERVICE
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import GrpcSettings, ReplicaSettings, ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.processes import command, descendants, kill

pytestmark = pytest.mark.alone

README = Path(__file__).resolve().parents[2] / "README.md"
PYTHON = README.parent / ".venv-clients" / "bin" / "python"
SCRIPT = Path(__file__).parent / "clients" / "triton_grpc.py"
needs_client = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients' environment is absent: make .venv-clients/.ready"
)
ROWS = [
    {"alcohol": 1.5, "colour": "red"},
    {"alcohol": -2.0, "colour": "violet"},
    {"alcohol": None, "colour": None},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = pa.table(
        {
            "alcohol": [1.0, 2.5, None, 4.0] * 5,
            "colour": ["red", "blue", "red", None] * 5,
            "label": ["low", "high", "high", "low"] * 5,
        }
    )
    folder = tmp_path_factory.mktemp("bundles") / "wine"
    return untrained_bundle(folder, table, target="label", task="binary", name="wine")


@pytest.fixture(scope="module", params=["haproxy", pytest.param("proxy", marks=pytest.mark.slow)])
def endpoint(request: pytest.FixtureRequest, bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    running = start(
        bundle,
        version="7",
        settings=ServeSettings(
            port=0,
            ingress=request.param,
            grpc=GrpcSettings(port=0),
            replicas=ReplicaSettings(min=2, max=2, cpu=0.5),
            max_rows=1000,
        ),
    )
    yield running
    running.stop()


@needs_client
def test_tritons_client_works_unchanged(endpoint: Endpoint, bundle: Path) -> None:
    seen = triton(endpoint)
    assert seen["live"] is seen["ready"] is seen["model_ready"] is True
    assert seen["server"]["name"] == "rayml"
    assert seen["model"]["versions"] == ["7"]
    assert {each["name"]: each["datatype"] for each in seen["model"]["inputs"]} == {
        "alcohol": "FP64",
        "colour": "BYTES",
    }
    own = Predictor.load(bundle).predict_rows(ROWS)
    assert seen["label"] == [answer["label"] for answer in own]
    assert seen["probability"] == pytest.approx([each["probability"] for each in own], abs=1e-6)
    assert (seen["id"], seen["filtered"]) == ("q-1", ["probability"])
    assert seen["in_parallel"] == [own[0]["label"]] * 40
    assert seen["errors"] == {
        "name": "StatusCode.NOT_FOUND",
        "version": "StatusCode.NOT_FOUND",
        "input": "StatusCode.INVALID_ARGUMENT",
        "rows": "StatusCode.RESOURCE_EXHAUSTED",
    }


@needs_client
def test_the_client_of_the_readme_runs(endpoint: Endpoint) -> None:
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
        if "tritonclient.grpc" in block
    ]
    assert endpoint.grpc_address is not None
    process = subprocess.run(
        [PYTHON, "-c", code.replace("127.0.0.1:8001", endpoint.grpc_address)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("[b'")


def test_standard_clients_see_its_health_and_its_services(endpoint: Endpoint) -> None:
    assert endpoint.grpc_address is not None
    with grpc.insecure_channel(endpoint.grpc_address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == serving
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        assert [next(watch).status, next(watch).status] == [serving] * 2
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = reflect(asked, timeout=30)
        assert SERVICE in {each.name for each in answer.list_services_response.service}
        listing = channel.unary_unary("/ray.serve.RayServeAPIService/ListApplications")
        assert b"rayml" in listing(b"", timeout=30)


def triton(endpoint: Endpoint) -> Any:
    process = subprocess.run(
        [PYTHON, SCRIPT, endpoint.grpc_address, "wine", json.dumps(ROWS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_every_port_is_loopback(endpoint: Endpoint) -> None:
    """Those of the ingress and of the replicas' own servers of HTTP and gRPC."""
    assert endpoint.grpc_port is not None
    for port in (endpoint.port, endpoint.grpc_port, *range(30000, 30010), *range(31000, 31010)):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((_own_address(), port), timeout=5)


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: finds the address of the outgoing side
        address: str = probe.getsockname()[0]
        return address


def test_a_killed_replica_costs_no_later_call(
    endpoint: Endpoint, request: pytest.FixtureRequest
) -> None:
    """Every later call is answered by the one left; Serve's own proxy may refuse some of them."""
    refuses = request.node.callspec.params["endpoint"] == "proxy"
    asked = ModelInferRequest(model_name="wine")
    asked.inputs.add(name="alcohol", datatype="FP64", shape=[1]).contents.fp64_contents.append(1.0)
    replicas = [
        pid
        for pid in descendants(os.getpid())
        if command(pid).startswith(b"ray::ServeReplica:rayml:predict")
    ]
    assert len(replicas) == 2
    with grpc.insecure_channel(endpoint.grpc_address) as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )
        assert infer(asked, timeout=60).model_version == "7"
        kill(replicas[:1])
        lost: list[str] = []
        for number in range(200):
            try:
                infer(asked, timeout=60)
            except grpc.RpcError as error:
                if not refuses or error.code() != grpc.StatusCode.UNAVAILABLE:
                    lost.append(f"{number}: {error}")
    assert not lost, "".join(lost)
