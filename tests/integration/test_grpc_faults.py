"""Replicas are killed while calls of gRPC come; every call is counted and its answer compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from rayml.serve.access.key_file import add_key
from rayml.serve.access.keys import SCOPES, new_key
from rayml.serve.endpoint import Endpoint, start
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import GrpcSettings, KeySettings, ReplicaSettings, ServeSettings
from tests.integration.grpc_calls import Answer, calling, channel, infer, infer_request, near
from tests.processes import command, descendants, kill

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session"), pytest.mark.alone]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys by their scope, and the path of their file."""
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    made = {scope: new_key(scope, [scope]) for scope in SCOPES}
    for _, key in made.values():
        add_key(path, key)
    return {"file": str(path), **{scope: token for scope, (token, _) in made.items()}}


@pytest.fixture(scope="module")
def endpoint(bundle: Path, keys: dict[str, str], ray_session: None) -> Iterator[Endpoint]:
    running = start(
        bundle,
        version="1",
        settings=ServeSettings(
            port=0,
            grpc=GrpcSettings(port=0),
            keys=KeySettings(file=keys["file"]),
            max_body_bytes=100_000,
            max_held_bytes=10_000_000,
            replicas=ReplicaSettings(min=2, max=2, cpu=0.5),
        ),
    )
    yield running
    running.stop()


def test_keys_and_limits_hold_through_the_ingress(endpoint: Endpoint, keys: dict[str, str]) -> None:
    one, large = infer_request("boxes", size=1.0), infer_request("boxes", size=1.0)
    large.inputs[0].contents.fp64_contents.extend([1.0] * 20_000)
    with channel(endpoint.grpc_address) as opened:
        for request, key, code in (
            (one, None, "UNAUTHENTICATED"),
            (one, "wrong", "UNAUTHENTICATED"),
            (one, keys["admin"], "PERMISSION_DENIED"),
            (one, keys["predict"], None),
            (large, keys["predict"], "RESOURCE_EXHAUSTED"),
        ):
            metadata = () if key is None else (("authorization", f"Bearer {key}"),)
            if code is None:
                answer = infer(opened)(request, metadata=metadata, timeout=60)
                assert answer.model_version == "1"
                continue
            with pytest.raises(grpc.RpcError) as caught:
                infer(opened)(request, metadata=metadata, timeout=60)
            assert caught.value.code().name == code


def questions(bundle: Path) -> list[tuple[ModelInferRequest, set[Answer]]]:
    predictor = Predictor.load(bundle)
    sizes = [number / 7 for number in range(40)]
    owns = predictor.predict_rows([{"size": size} for size in sizes])
    return [
        (infer_request("boxes", size=size), near("1", own))
        for size, own in zip(sizes, owns, strict=True)
    ]


def replicas() -> list[int]:
    return [
        pid for pid in descendants(os.getpid()) if command(pid).startswith(b"ray::ServeReplica")
    ]


@pytest.mark.parametrize("retries", [False, True])
def test_replicas_killed_again_and_again_lose_no_call(
    endpoint: Endpoint, bundle: Path, keys: dict[str, str], retries: bool
) -> None:
    """As soon as the one that is left has answered, whether or not there are two again."""
    with calling(
        endpoint.grpc_address,
        questions(bundle),
        clients=16,
        retries=retries,
        metadata=(("x-api-key", keys["predict"]),),
    ) as calls:
        for _ in range(8):
            calls.wait_for_more("right", 100)
            kill(replicas()[:1])
        calls.wait_for_more("right", 100)
    assert calls.seen["wrong"] == calls.seen["lost"] == 0, calls
    if retries:
        assert calls.seen["refused"] == 0, calls
