"""Replicas follow the load: from none to two and back, with every request accounted for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from rayml.config.components.trust import Trust
from rayml.serve.endpoint import Endpoint, start
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import GrpcSettings, ReplicaSettings, ServeSettings
from rayml.testing.arrivals import from_counts, steady
from rayml.testing.bundles import untrained_bundle
from rayml.testing.load import Load, Question, questions
from tests.integration.grpc_calls import answer_of, channel, infer, near
from tests.paced_model import Paced
from tests.processes import command, descendants, wait_until

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.alone]

PASS_S = 0.04
TRUST = Trust(modules=(Paced.__module__,))
BATCH = 4
# Requests a second that a replica can answer.
CAPACITY = BATCH / PASS_S


def running() -> int:
    """Replicas that run."""
    from ray import serve

    states = serve.status().applications["rayml"].deployments["predict"].replica_states
    return sum(count for state, count in states.items() if state == "RUNNING")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    model = {"_target_": f"{Paced.__module__}.{Paced.__name__}", "seconds": PASS_S}
    folder = tmp_path_factory.mktemp("bundles") / "paced"
    return untrained_bundle(folder, table, target="y", task="binary", model=model)


@pytest.fixture(scope="module")
def asked(bundle: Path) -> list[Question]:
    return questions(bundle, [{"x": n / 100} for n in range(3000)], TRUST)


@pytest.fixture(scope="module")
def endpoint(bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    replicas = ReplicaSettings(
        min=0, max=2, cpu=0.5, target_ongoing_requests=BATCH, upscale_delay_s=0, downscale_delay_s=1
    )
    settings = ServeSettings(
        port=0,
        grpc=GrpcSettings(port=0),
        max_batch_size=BATCH,
        max_ongoing_requests=2 * BATCH,
        max_queued_requests=1000,
        replicas=replicas,
    )
    running = start(bundle, version="1", settings=settings, trust=TRUST)
    yield running
    running.stop()


def test_replicas_come_and_go_with_the_load(endpoint: Endpoint, asked: list[Question]) -> None:
    wait_until(lambda: running() == 0, "no replica")
    # A quiet spell, a burst beyond what one replica can answer, and quiet again.
    burst = [round(rate * CAPACITY / 2) for rate in (0.1, 0.1, *[1.5] * 12, *[0.2] * 60)]
    with Load(endpoint.url, asked, arrivals=from_counts(burst, seconds=0.5, seed=0)) as load:
        wait_until(lambda: running() == 2, "a second replica")
        load.wait_for(right=sum(burst[:14]))
    wait_until(lambda: running() == 0, "no replica")
    # The first waited for a start; none was refused.
    assert load.report.right == len(load.report.due), load.report


def test_a_call_of_grpc_waits_for_the_first_replica(endpoint: Endpoint, bundle: Path) -> None:
    wait_until(lambda: running() == 0, "no replica")
    request = ModelInferRequest(model_name="model")
    request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(0.5)
    (own,) = Predictor.load(bundle, trust=TRUST).predict_rows([{"x": 0.5}])
    with ThreadPoolExecutor(4) as threads, channel(endpoint.grpc_address) as opened:
        futures = [threads.submit(infer(opened), request, timeout=60) for _ in range(4)]
        answers = [answer_of(each.result()) for each in futures]
    assert set(answers) <= near("1", own)


def memory() -> int:
    """Bytes that the replicas hold in all."""
    replicas = [pid for pid in descendants(os.getpid()) if b"ray::ServeReplica" in command(pid)]
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in replicas]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def watching(url: str) -> Iterator[list[int]]:
    """The statuses of health checks, one after the other."""
    statuses: list[int] = []
    over = threading.Event()

    def check() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not over.is_set():
                statuses.append(client.get("/readyz").status_code)

    thread = threading.Thread(target=check)
    thread.start()
    yield statuses
    over.set()
    thread.join()


@pytest.fixture(scope="module")
def small(bundle: Path, endpoint: Endpoint) -> Iterator[Endpoint]:
    """One replica with a short queue, in place of the other endpoint."""
    endpoint.stop()
    settings = ServeSettings(
        port=0,
        max_batch_size=BATCH,
        max_ongoing_requests=2 * BATCH,
        max_queued_requests=4 * BATCH,
        replicas=ReplicaSettings(min=1, max=1, cpu=0.5),
    )
    running = start(bundle, version="1", settings=settings, trust=TRUST)
    yield running
    running.stop()


def test_three_times_the_capacity_is_answered_or_refused(
    small: Endpoint, asked: list[Question]
) -> None:
    with Load(small.url, asked, arrivals=steady(CAPACITY, 1)) as load:
        load.finish()
    before = memory()
    plan = steady(3 * CAPACITY, 6)
    with watching(small.url) as checks, Load(small.url, asked, arrivals=plan) as load:
        load.finish()
    report = load.report
    assert report.right + report.refused == len(plan), report
    assert {status for status in report.statuses if status != 200} == {503}
    assert min(report.right, report.refused) > len(plan) / 10
    # A refusal does not wait in the queue that it was refused from.
    assert report.percentile(50, outcome="refused") < report.percentile(50)
    assert set(checks) == {200}
    assert memory() - before < 50e6
