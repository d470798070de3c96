"""An endpoint on a real Ray Serve, over real sockets."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayml.errors import ServeError
from rayml.serve.endpoint import Endpoint, start
from rayml.serve.ingress.ingress import Ingress
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ReplicaSettings, ServeSettings
from tests.listening import beyond, name_of, own_address, processes

ONE = ReplicaSettings(min=1, max=1, cpu=0.5)


def settings(**values: object) -> ServeSettings:
    return ServeSettings(**{"port": 0, "replicas": ONE, **values})  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["proxy", "haproxy"])
def endpoint(request: pytest.FixtureRequest, bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    ingress: Ingress = request.param
    running = start(
        bundle,
        version="7",
        settings=settings(ingress=ingress, max_body_bytes=100_000, max_rows=1000),
    )
    yield running
    running.stop()


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=endpoint.url, timeout=60) as client:
        yield client


def test_it_is_alive_ready_and_named(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metadata", "/docs", "/openapi.json"):
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["x-model-name"] == "boxes"
        assert response.headers["x-model-version"] == "7"
    # The second answer shows that no body of the first is left on the connection.
    assert client.head("/docs").content == b""
    assert client.get("/metadata").json()["version"] == "7"


def test_a_person_finds_a_page_and_explanations(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-model-version"] == "7"
    row = {"size": 3.0, "colour": "blue"}
    [answer] = client.post("/predict", json=row).json()["predictions"]
    [found] = client.post("/explain", json=row).json()["explanations"]
    assert found["label"] == answer["label"]
    total = sum(found["attributions"].values())
    assert answer["probability"] - found["baseline"] == pytest.approx(total, abs=1e-3)


def test_a_request_has_one_id(client: httpx.Client) -> None:
    given = client.get("/readyz", headers={"X-Request-Id": "seven"})
    assert given.headers.get_list("x-request-id") == ["seven"]
    odd, made = client.get("/readyz", headers={"X-Request-Id": "a b"}), client.get("/readyz")
    for response in (odd, made):
        (name,) = response.headers.get_list("x-request-id")
        assert len(name) == 32
    assert odd.headers["x-request-id"] != made.headers["x-request-id"]


def test_concurrent_requests_get_the_bundles_own_predictions(
    client: httpx.Client, bundle: Path
) -> None:
    rows = [{"size": n / 7, "colour": ["red", "blue", "violet", None][n % 4]} for n in range(40)]
    own = Predictor.load(bundle).predict_rows(rows)
    with ThreadPoolExecutor(8) as threads:
        single = list(threads.map(lambda row: client.post("/predict", json=row), rows))
    together = client.post("/predict", json={"rows": rows})
    answers = [response.json()["predictions"][0] for response in single]
    for got in (answers, together.json()["predictions"]):
        assert [answer["label"] for answer in got] == [answer["label"] for answer in own]
        assert [answer["probability"] for answer in got] == pytest.approx(
            [answer["probability"] for answer in own], abs=1e-6
        )


def test_bad_requests_are_refused_in_one_form(client: httpx.Client) -> None:
    error = client.post("/predict", json=[{"size": 1.0}, {"size": "large"}])
    assert error.status_code == 422
    assert (error.json()["row"], error.json()["column"]) == (1, "size")
    for response, status in (
        (client.post("/predict", content=b"{"), 400),
        (client.post("/predict", json=[{"size": 1}] * 1001), 413),
        (client.get("/predict"), 405),
        (client.get("/elsewhere"), 404),
    ):
        assert response.status_code == status
        assert response.json()["error"]
        assert response.headers["x-model-version"] == "7"
    # Told before the body is read, and so by whoever reads it.
    too_large = client.post("/predict", content=b" " * 100_001)
    assert too_large.status_code == 413
    assert too_large.json()["error"]


def test_its_metrics_tell_what_it_answered(client: httpx.Client) -> None:
    before = counted(client)
    client.post("/predict", json=[{"size": 1.0}] * 3)
    client.get("/elsewhere")
    after = counted(client)
    base = {"model": "boxes", "version": "7"}
    assert grown(before, after, "rayml_requests_total", base, route="/predict", code="200") == 1
    assert grown(before, after, "rayml_requests_total", base, route="", code="404") == 1
    assert grown(before, after, "rayml_rows_total", base, route="/predict") == 3
    assert grown(before, after, "rayml_batch_rows_sum", base) == 3
    assert [value for name, _, value in after if name == "rayml_replicas"] == [1]


Samples = list[tuple[str, dict[str, str], float]]


def counted(client: httpx.Client) -> Samples:
    """Every sample that Prometheus would read."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return [(each.name, each.labels, each.value) for family in families for each in family.samples]


def grown(before: Samples, after: Samples, name: str, base: dict[str, str], **labels: str) -> float:
    """By how much a counter has grown, over all replicas."""
    wanted = (base | labels).items()

    def total(samples: Samples) -> float:
        return sum(value for each, own, value in samples if each == name and wanted <= own.items())

    return total(after) - total(before)


def test_an_endless_body_is_cut_off(endpoint: Endpoint) -> None:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=60) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n%b\r\n" % (50_000, b" " * 50_000)
        for _ in range(3):
            connection.sendall(chunk)
        # The answer comes though the body has no end.
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_nothing_of_it_listens_beyond_this_machine(endpoint: Endpoint) -> None:
    """Neither its own port, nor a replica's, nor HAProxy's statistics and metrics."""
    assert any(name_of(each).startswith("ray::ServeRepl") for each in processes())
    holders = [name for name, _ in beyond()]
    assert not any("haproxy" in holder for holder in holders)
    assert holders.count("ray::ServeRepli") == 1
    assert holders.count("ray::ProxyActor") <= 1
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((own_address(), endpoint.port), timeout=5)


def test_the_files_of_haproxy_are_its_owners(endpoint: Endpoint) -> None:
    for process in processes():
        words = (process / "cmdline").read_bytes().split(b"\0")
        if name_of(process) == "haproxy":
            config = Path(words[words.index(b"-f") + 1].decode())
            assert config.parent.stat().st_mode & 0o777 == 0o700
            (sockets,) = re.findall(r"stats socket (\S+) mode 600", config.read_text())
            assert Path(sockets).stat().st_mode & 0o777 == 0o600


def test_a_second_endpoint_is_refused(endpoint: Endpoint, bundle: Path) -> None:
    with pytest.raises(ServeError, match="already serves an endpoint"):
        start(bundle, version="8", settings=settings())
