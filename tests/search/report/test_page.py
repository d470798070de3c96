"""The page: it holds all it needs, and nothing that a sweep contains can run in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from rayml.errors import SearchError
from rayml.search.report.page import render, write_page
from rayml.search.results.record import read_record
from rayml.search.study.study import Study
from rayml.web.style import base_style
from tests.search.plans import report, tell
from tests.search.simulated_sweeps import (
    CONFIRMED,
    TREE,
    hostile_tree,
    many,
    record_of,
    run_hostile,
    run_trials,
    two_objectives,
)

NOW = datetime(2026, 1, 2, 3, 4, 5)


class Page(HTMLParser):
    """Tags with their attributes, and the text inside each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids |= {value for name, value in attrs if name == "id" and value}
        self._script = tag == "script"
        if self._script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data
        else:
            self.text += data

    @property
    def figures(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    @property
    def policy(self) -> str:
        [found] = [a for tag, a in self.tags if tag == "meta" and "http-equiv" in a]
        return found["content"] or ""


def page_of(folder: Path) -> Page:
    write_page(folder)
    return Page((folder / "report" / "index.html").read_text(encoding="utf-8"))


def sections_of(page: Page) -> list[str]:
    return [str(a["id"]) for tag, a in page.tags if tag == "section"]


def test_the_page_of_a_sweep_that_is_over(sweep: Path) -> None:
    (sweep / "confirm.json").write_text(json.dumps(CONFIRMED))
    page = page_of(sweep)
    assert sections_of(page) == [
        "best",
        "space",
        "confirmation",
        "history",
        "curves",
        "importance",
        "parallel",
        "slices",
        "timings",
        "failures",
        "config",
    ]
    assert "64" in page.text
    assert "DivergedError: the loss is nan after step 7" in page.text
    assert "0.9105 to 0.9145" in page.text
    assert "DivergedError: the loss is nan" in page.text
    assert "The models of the seeds 0, 2 are kept as an ensemble." in page.text
    assert "41.7 s" in page.text
    assert "train.optimizer.name is sgd" in page.text
    assert (sweep / "report" / "trials.parquet").is_file()
    assert not (sweep / "report" / "index.html.partial").exists()


def test_it_refers_to_nothing_outside(sweep: Path) -> None:
    page = page_of(sweep)
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        assert str(attributes.get("href", "#")).startswith(("#", "data:,"))
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in page.policy


def test_its_policy_allows_its_own_scripts_alone(sweep: Path) -> None:
    page = page_of(sweep)
    allowed = re.findall(r"'(sha256-[^']+)'", page.policy)
    *_, packed, script = page.scripts
    library = gzip.decompress(base64.b64decode(packed))
    assert b"plotly.js" in library[:100]
    assert allowed == [
        "sha256-" + base64.b64encode(hashlib.sha256(each).digest()).decode()
        for each in (script.encode(), library)
    ]
    assert "unsafe" not in page.policy.replace("style-src 'unsafe-inline'", "")


def test_every_figure_is_one_that_plotly_knows(sweep: Path) -> None:
    (sweep / "confirm.json").write_text(json.dumps(CONFIRMED))
    page = page_of(sweep)
    assert len(page.figures) > 10
    for figure in page.figures.values():
        go.Figure(json.loads(re.sub(r'"@\w+"', '"red"', json.dumps(figure))))
    colors = set(re.findall(r'"@(\w+)"', json.dumps(page.figures)))
    style = base_style() + (Path(write_page.__code__.co_filename).parent / "page.css").read_text()
    assert colors
    assert all(style.count(f"--{color}:") == 3 for color in colors)


def test_hostile_texts_stay_texts(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(tree=hostile_tree())
    run_hostile(study)
    (tmp_path / "config.yaml").write_text('name: "</pre><script>window.pwned=1</script>"\n')
    page = page_of(tmp_path)
    assert len(page.scripts) == 4
    assert [tag for tag, _ in page.tags if tag in {"img", "b", "i"}] == []
    assert {tag for tag, a in page.tags if "href" in a} <= {"a", "link"}
    assert not any(name.startswith("on") for _, a in page.tags for name in a)
    assert "<script>window.pwned=1</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    for figure in page.figures.values():
        for text in _texts(figure):
            assert "<" not in text, text


def _texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for each in node.values() for text in _texts(each)]
    if isinstance(node, list):
        return [text for each in node for text in _texts(each)]
    return [node] if isinstance(node, str) else []


def test_secrets_do_not_reach_the_page(sweep: Path) -> None:
    page = page_of(sweep)
    write_page(sweep)
    assert "hunter" not in (sweep / "report" / "index.html").read_text(encoding="utf-8")
    assert "postgresql://me:***@host/db" in page.text
    assert "api_key: '***'" in page.text


def test_a_sweep_before_its_first_trial(make_study: Callable[..., Study], tmp_path: Path) -> None:
    make_study()
    page = page_of(tmp_path)
    assert sections_of(page) == [
        *("best", "space", "history", "curves", "importance", "timings", "failures")
    ]
    assert page.figures == {}
    assert "not over: it runs, or was interrupted" in page.text
    assert "No trial has a value yet." in page.text


def test_a_sweep_of_one_trial(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study()
    study.ask()
    report(study, 0, 1, 0.5, {"accuracy": 0.5})
    running = page_of(tmp_path)
    assert "1 in progress" in running.text
    assert {"history-0", "curves"} <= set(running.figures)
    tell(study, 0, "COMPLETE", 0.5)
    over = page_of(tmp_path)
    assert "It takes 20 finished trials to see what matters; there are 1." in over.text


def test_a_sweep_whose_trials_all_failed(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study()
    for asked in study.ask(3):
        tell(study, asked.number, "FAIL", reason="ValueError: no" if asked.number else "")
    page = page_of(tmp_path)
    assert "3 trials failed." in page.text
    assert "no reason was recorded" in page.text
    assert [trace["name"] for trace in page.figures["history-0"]["data"]] == ["failed"]


def test_equal_values_have_no_importance(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study()
    for asked in study.ask(25):
        report(study, asked.number, 1, 0.5, {"accuracy": 0.5})
        tell(study, asked.number, "COMPLETE", 0.5)
    page = page_of(tmp_path)
    assert "All 25 finished trials have the same value, 0.5" in page.text
    assert "importance-0" not in page.figures


def test_a_study_of_ten_thousand_trials_makes_a_page_of_bounded_size() -> None:
    text = render(record_of(many(10_000)), NOW)
    page = Page(text)
    assert len(text) < 4_000_000
    assert "2,000 of 10,000 trials are drawn" in page.text
    assert "200 of 10,000 curves are drawn" in page.text
    assert "400 of 10,000 trials are drawn" in page.text
    points = [len(t["x"]) for t in page.figures["history-0"]["data"] if t["mode"] == "markers"]
    assert sum(points) == 2000


def test_long_curves_are_thinned() -> None:
    page = Page(render(record_of(many(8, epochs=1000)), NOW))
    assert "Of curves longer than 120 epochs every n-th epoch is drawn." in page.text
    assert all(len(t["x"]) < 500 for t in page.figures["curves"]["data"])


def test_several_objectives_with_constraints() -> None:
    page = Page(render(record_of(two_objectives()), NOW))
    assert "pareto" in sections_of(page)
    assert {"history-0", "history-1", "pareto-1", "importance-0", "importance-1"} <= set(
        page.figures
    )
    traces = {trace["name"]: trace for trace in page.figures["pareto-1"]["data"]}
    front = traces["Pareto front"]
    assert list(zip(front["x"], front["y"], strict=True)) == sorted(
        zip(front["x"], front["y"], strict=True)
    )
    assert len(traces["breaks a constraint"]["x"]) > 0
    assert "breaks a constraint" in {t["name"] for t in page.figures["history-0"]["data"]}
    assert "violation" in page.figures["parallel"]["layout"]["xaxis"]["ticktext"]
    assert "pareto" not in sections_of(Page(render(record_of(many(30)), NOW)))


def test_a_torn_file_is_named(sweep: Path) -> None:
    (sweep / "timings.json").write_text("{")
    with pytest.raises(SearchError, match=r"timings\.json"):
        read_record(sweep)
    (sweep / "timings.json").unlink()
    (sweep / "confirm.json").write_text('{"metric": "accuracy"}')
    with pytest.raises(SearchError, match=r"confirm\.json"):
        read_record(sweep)


def test_parameters_of_an_earlier_space_are_shown(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study(tree=TREE)
    run_trials(study, 30)
    tree = {"model": {"width": {"type": "int", "low": 16, "high": 32, "log": True}}}
    from rayml.search.space.space import Space

    (tmp_path / "space.json").write_text(json.dumps(Space.parse(tree).tree()))
    record = read_record(tmp_path)
    assert record.searched[0].distribution.high == 32
    assert {each.key for each in record.searched} > {"model.width", "train.optimizer.lr"}
    page_of(tmp_path)


def test_what_was_to_be_known_of_the_data_is_told() -> None:
    note = "column 'won' repeats the target '<b>y</b>'"
    text = render(record_of(many(8), advice=(note,)), NOW)
    assert "data" in sections_of(Page(text))
    assert "&lt;b&gt;y&lt;/b&gt;" in text
    assert "data" not in sections_of(Page(render(record_of(many(8)), NOW)))


def test_the_structures_are_counted(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study()
    asked = study.ask(6)
    assert "looked at" not in page_of(tmp_path).text
    study.classify({key: key == "model.width" for key in asked[0].params})
    widths = len({each.params["model.width"] for each in asked})
    assert f"parameters, {widths} structures looked at" in page_of(tmp_path).text
