"""Calls of gRPC from several threads at once, each of them counted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from rayml.serve.grpc.handlers import SERVICE
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
RETRY_POLICY = next(block for block in README.split("```json\n") if "retryPolicy" in block)
RETRY_POLICY = json.dumps(json.loads(RETRY_POLICY.partition("```")[0]))
"""What the README tells clients of gRPC to have."""


@contextmanager
def channel(address: str | None, *, retries: bool = False) -> Iterator[grpc.Channel]:
    """A channel with a connection of its own."""
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if retries:
        options.append(("grpc.service_config", RETRY_POLICY))
    assert address is not None
    with grpc.insecure_channel(address, options=options) as opened:
        yield opened


def infer(opened: grpc.Channel) -> Any:
    """The call `ModelInfer`."""
    return opened.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=ModelInferRequest.SerializeToString,
        response_deserializer=ModelInferResponse.FromString,
    )


def infer_request(model: str, *, size: float, colour: str | None = None) -> ModelInferRequest:
    """A request for one row."""
    request = ModelInferRequest(model_name=model)
    column = request.inputs.add(name="size", datatype="FP64", shape=[1])
    column.contents.fp64_contents.append(size)
    if colour is not None:
        column = request.inputs.add(name="colour", datatype="BYTES", shape=[1])
        column.contents.bytes_contents.append(colour.encode())
    return request


Answer = tuple[str, bytes, float]


def near(version: str, answer: Mapping[str, Any]) -> set[Answer]:
    """What `answer_of` may give for an answer of the predictor."""
    label, probability = str(answer["label"]).encode(), answer["probability"]
    return {(version, label, round(probability + step * 1e-5, 5)) for step in (-1, 0, 1)}


class Calls:
    """What became of calls: counts by outcome, the causes of refusals and losses, versions."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.versions: set[str] = set()
        self._changed = threading.Condition()

    def count(self, outcome: str, cause: str = "") -> None:
        """Note what became of one."""
        with self._changed:
            self.seen[outcome] += 1
            if cause:
                self.causes[cause] += 1
            self._changed.notify_all()

    def wait_for_more(self, outcome: str, count: int, seconds: float = 120.0) -> None:
        """Wait until so many more had an outcome."""
        with self._changed:
            goal = self.seen[outcome] + count
            assert self._changed.wait_for(lambda: self.seen[outcome] >= goal, seconds), self

    def __str__(self) -> str:
        return f"{dict(self.seen)} {dict(self.causes)}"


@contextmanager
def calling(
    address: str | None,
    questions: Sequence[tuple[ModelInferRequest, set[Answer]]],
    *,
    clients: int = 8,
    retries: bool = False,
    metadata: Sequence[tuple[str, str]] = (),
) -> Iterator[Calls]:
    """Call until the block ends, each client over a connection of its own.

    A call is `right`, if what answers it is in the answers to its question, else `wrong`;
    `refused`, if it has the status UNAVAILABLE; and `lost` with any other.

    Args:
        address: of the endpoint.
        questions: requests, and the answers that each may have as `answer_of` makes them.
        clients: that call at the same time.
        retries: whether they have a policy of retries.
        metadata: of each call.
    """
    calls, done = Calls(), threading.Event()

    def client(first: int) -> None:
        with channel(address, retries=retries) as opened:
            call = infer(opened)
            turn = first
            while not done.is_set():
                request, answers = questions[turn % len(questions)]
                turn += 1
                try:
                    answer = answer_of(call(request, timeout=60, metadata=metadata))
                except grpc.RpcError as error:
                    refused = error.code() is grpc.StatusCode.UNAVAILABLE
                    cause = f"{error.code().name}: {error.details()}"
                    calls.count("refused" if refused else "lost", cause)
                else:
                    calls.versions.add(answer[0])
                    calls.count("right" if answer in answers else "wrong")

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(client, number) for number in range(clients)]
        try:
            yield calls
        finally:
            done.set()
        for each in running:
            each.result()


def answer_of(response: ModelInferResponse) -> Answer:
    """Version, label and probability of the one row that a response answers."""
    outputs = {each.name: each.contents for each in response.outputs}
    return (
        response.model_version,
        outputs["label"].bytes_contents[0],
        round(outputs["probability"].fp64_contents[0], 5),
    )
