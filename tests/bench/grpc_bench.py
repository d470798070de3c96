"""Single-row requests of gRPC: the ways to a replica, beside a bare server of gRPC.

All answer with the same app and weights; the load comes from a process of its own, and every answer
is checked. The client, which is Python's own, costs more than the server, so read the time of a
processor that the replica and HAProxy spend on a request.

    python tests/bench/grpc_bench.py [--seconds 4] [--connections 1 16]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc.handlers import SERVICE, add_to_server
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.grpc.service import InferenceService
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import GrpcSettings, ReplicaSettings, ServeSettings

METHOD = f"/{SERVICE}/ModelInfer"


def make_request(predictor: Predictor) -> ModelInferRequest:
    """One row of typical values, as raw contents."""
    from rayml.serve.tensors.tensors import tensor_from_values

    request = ModelInferRequest(model_name="model")
    for column in predictor.signature.inputs:
        request.inputs.add(name=column.name, datatype="FP64", shape=[1])
        tensor = tensor_from_values(column.name, "FP64", [1], [column.example])
        request.raw_input_contents.append(tensor.to_bytes())
    return request


def seconds_of(pid: int) -> float:
    """Time of a processor that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(job: dict[str, Any]) -> dict[str, Any]:
    """Ask over a number of connections for some seconds."""
    request = bytes.fromhex(job["request"])
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(job["address"], options=options)
        for _ in range(job["connections"])
    ]
    took: list[float] = []
    answers: set[bytes] = set()
    end = 0.0

    async def ask(call: Any) -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            answers.add(await call(request))
            took.append(time.perf_counter() - start)

    calls = [channel.unary_unary(METHOD) for channel in channels]
    for seconds in (0.5, job["seconds"]):
        took.clear()
        before = [seconds_of(pid) for pid in job["pids"]]
        start = time.perf_counter()
        end = start + seconds
        await asyncio.gather(*(ask(call) for call in calls))
        elapsed = time.perf_counter() - start
    spent = [seconds_of(pid) - was for pid, was in zip(job["pids"], before, strict=True)]
    took.sort()
    for channel in channels:
        await channel.close()
    return {
        "rate": len(took) / elapsed,
        "p50": took[len(took) // 2] * 1e3,
        "p99": took[int(len(took) * 0.99)] * 1e3,
        "spent": [each / len(took) * 1e6 for each in spent],
        "answers": [each.hex() for each in answers],
    }


def measure(name: str, job: dict[str, Any], connections: list[int], expected: float) -> None:
    """Load a server from another process, check its answers and print what came of it."""
    for count in connections:
        text = json.dumps(job | {"connections": count})
        command = [sys.executable, __file__, "--job", text]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for answer in seen["answers"]:
            response = ModelInferResponse.FromString(bytes.fromhex(answer))
            got = dict(
                zip((o.name for o in response.outputs), response.raw_output_contents, strict=True)
            )["probability"]
            if abs(struct.unpack("<d", got)[0] - expected) > 1e-5:
                raise SystemExit(f"{name}: a wrong answer")
        spent = " + ".join(f"{each:.0f}" for each in seen["spent"])
        print(
            f"{name:34} {count:4} {seen['rate']:8.0f}/s  p50 {seen['p50']:6.2f}  "
            f"p99 {seen['p99']:6.2f} ms  processor {spent} us",
            flush=True,
        )


class Service(InferenceService):
    """The service without Ray."""

    def __init__(self, app: EndpointApp) -> None:
        self._app = app


async def bare(bundle: Path) -> None:
    """Serve without Ray on a free port, and print it."""
    settings = ServeSettings()
    model = ServedModel(Predictor.load(bundle), version="1", settings=settings)
    server = grpc.aio.server()
    add_to_server(Service(EndpointApp(OneVersion(model), settings=settings)), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


def with_ray(bundle: Path, ingress: Any, job: dict[str, Any], rest: Any) -> None:
    """Measure an endpoint."""
    from rayml.serve.endpoint import start
    from tests.processes import command, descendants

    settings = ServeSettings(
        port=0, ingress=ingress, grpc=GrpcSettings(port=0), replicas=ReplicaSettings(min=1, max=1)
    )
    endpoint = start(bundle, version="1", settings=settings)
    processes = {pid: command(pid) for pid in descendants(os.getpid())}
    replicas = [pid for pid, line in processes.items() if line.startswith(b"ray::ServeReplica")]
    proxies = [
        pid
        for pid, line in processes.items()
        if (b"haproxy" in line.split(b"\0")[0] if ingress == "haproxy" else b"ProxyActor" in line)
    ]
    job = job | {"address": endpoint.grpc_address, "pids": replicas + proxies[-1:]}
    measure(f"rayml, ingress={ingress}", job, *rest)
    endpoint.stop()


def main() -> None:
    """Run all servers one at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--job")
    parser.add_argument("--bare", type=Path)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(asyncio.run(load(json.loads(options.job)))))
        return
    if options.bare:
        asyncio.run(bare(options.bare))
        return
    from bench_case import write_case

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        predictor, _ = write_case(Path(temporary), {"width": 128, "depth": 3, "dropout": 0.1})
        bundle = Path(temporary) / "bundle"
        (own,) = predictor.predict_rows([predictor.signature.example()])
        job = {
            "request": make_request(predictor).SerializeToString().hex(),
            "seconds": options.seconds,
        }
        rest = (options.connections, own["probability"])
        with subprocess.Popen(
            [sys.executable, __file__, "--bare", str(bundle)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            address = f"127.0.0.1:{process.stdout.readline().strip()}"
            measure("bare grpc.aio", job | {"address": address, "pids": [process.pid]}, *rest)
            process.terminate()
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        for ingress in ("haproxy", "proxy"):
            if ingress not in options.skip:
                with_ray(bundle, ingress, job, rest)


if __name__ == "__main__":
    main()
