"""The Grafana dashboard and the Prometheus example ask for what an endpoint tells."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Router
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.observe.recorder import Recorder
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import metrics_route

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
DASHBOARD = json.loads((CLUSTER / "grafana" / "rayml.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES = [
    variable["query"]["query"]
    for variable in DASHBOARD["templating"]["list"]
    if variable["type"] == "query"
]
# What Prometheus adds to every series that it scrapes.
SCRAPED = {"job", "instance"}


@pytest.fixture(scope="module")
def told(binary_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels of each metric of an app that has answered well and badly."""
    settings = ServeSettings()
    recorder = Recorder("r1", tmp_path_factory.mktemp("metrics"))
    model = ServedModel(Predictor.load(binary_bundle), version="3", settings=settings)
    app = EndpointApp(
        OneVersion(model),
        settings=settings,
        router=Router((*ROUTES, metrics_route(recorder))),
        observe=recorder.observe,
    )
    recorder.start(app.load)

    async def ask() -> str:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.post("/predict", json={"size": 1.0})
            await client.post("/predict", json={"size": "large"})
            return (await client.get("/metrics")).text

    text = asyncio.run(ask())
    recorder.close()
    model.close()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *QUERIES])
def test_every_query_asks_for_a_metric_and_labels_that_exist(
    expression: str, told: dict[str, set[str]]
) -> None:
    names = re.findall(r"\brayml_\w+", expression)
    assert names
    assert set(names) <= set(told)
    for name, selector in re.findall(r"\b(rayml_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*=~", selector)) <= told[name] | SCRAPED
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouped)) <= set().union(*(told[name] for name in names))
    for variable in re.findall(r"\$(\w+)", expression):
        assert variable in {each["name"] for each in DASHBOARD["templating"]["list"]} | {
            "__rate_interval"
        }


def test_every_metric_is_shown(told: dict[str, set[str]]) -> None:
    shown = set(re.findall(r"\brayml_\w+", " ".join(EXPRESSIONS)))
    parts = {
        name.removesuffix(suffix) for name in shown for suffix in ("_bucket", "_sum", "_count")
    }
    hidden = {
        name
        for name in told
        if name not in shown and not any(name.startswith(part) for part in parts)
    }
    assert not hidden


def test_counters_are_shown_as_rates_and_histograms_as_quantiles() -> None:
    for expression in EXPRESSIONS:
        for name in re.findall(r"\brayml_\w+_(?:total|bucket|sum|count)\b", expression):
            assert re.search(rf"rate\({name}[^)]*\[\$__rate_interval\]\)", expression), expression
        assert ("_bucket" in expression) == ("histogram_quantile" in expression)
        assert expression.count("(") == expression.count(")")


def test_the_file_is_a_dashboard() -> None:
    """The basics of https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/."""
    assert DASHBOARD["title"]
    assert DASHBOARD["uid"]
    assert isinstance(DASHBOARD["schemaVersion"], int)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    placed: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        cells = cells_of(panel["gridPos"])
        assert not cells & placed
        placed |= cells


def cells_of(place: dict[str, Any]) -> set[tuple[int, int]]:
    assert place["x"] >= 0
    assert place["x"] + place["w"] <= 24
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


def test_prometheus_asks_the_endpoints_own_port() -> None:
    config = yaml.safe_load((CLUSTER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    port = ServeSettings().port
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
