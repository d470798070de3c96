"""The page in a real browser that may reach nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from rayml.search.report.page import render, write_page
from rayml.search.study.study import Study
from tests.browser import Opened
from tests.browser import opened as open_page
from tests.search.simulated_sweeps import (
    CONFIRMED,
    HOSTILE,
    hostile_tree,
    many,
    record_of,
    run_hostile,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def opened(browser: Browser, file: Path, **more: Any) -> Iterator[Opened]:
    ready, url = "html[data-drawn=yes]", file.as_uri()
    with open_page(browser, url, ready=ready, timeout_ms=120_000, offline=True, **more) as shown:
        yield shown
    outside = [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert [url for url in shown.requests if url.startswith("file:")] == [file.as_uri()]
    assert shown.complaints == []


def written(folder: Path) -> Path:
    write_page(folder)
    return folder / "report" / "index.html"


def test_every_section_is_drawn(chromium: Browser, sweep: Path) -> None:
    (sweep / "confirm.json").write_text(json.dumps(CONFIRMED))
    with opened(chromium, written(sweep), viewport={"width": 1280, "height": 900}) as shown:
        page = shown.page
        with_figures = ["confirmation", "history", "curves", "importance", "parallel"]
        for name in [*with_figures, "slices", "timings"]:
            figures = page.locator(f"#{name} .figure")
            assert figures.count() >= 1, name
            for figure in figures.all():
                drawn = figure.locator(".trace, .scatterlayer path, .barlayer path")
                assert drawn.count() > 0, figure.get_attribute("id")
                box = figure.bounding_box()
                assert box is not None
                assert box["width"] > 200
        assert page.locator("#slices .figure").count() == 8
        assert page.locator("nav a").count() == page.locator("section").count()
        assert page.locator("#trouble").is_hidden()
        buttons = page.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
        assert "Zoom" in buttons
        assert not [title for title in buttons if "Share" in title or "Plotly" in title]


def test_a_point_tells_its_trial(chromium: Browser, sweep: Path) -> None:
    with opened(chromium, written(sweep), viewport={"width": 1280, "height": 900}) as shown:
        page = shown.page
        point = page.locator("#figure-history-0 .trace.scatter .point").first
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        hover = page.locator("#figure-history-0 .hoverlayer .hovertext")
        hover.wait_for()
        text = hover.text_content()
        assert text is not None
        assert "train.optimizer.lr: " in text
        page.mouse.down()
        page.mouse.up()
        card = page.locator("#trial")
        card.wait_for()
        heading = card.locator("h3").text_content()
        assert heading is not None
        assert heading.removeprefix("Trial ") in text
        page.keyboard.press("Escape")
        assert card.is_hidden()


def test_a_number_in_the_table_tells_its_trial(chromium: Browser, sweep: Path) -> None:
    with opened(chromium, written(sweep)) as shown:
        button = shown.page.locator("#best [data-trial]").first
        number = button.text_content()
        button.click()
        card = shown.page.locator("#trial")
        assert card.locator("h3").text_content() == f"Trial {number}"
        assert "model.width" in card.locator("dl").inner_text()


def test_a_click_on_the_legend_hides_a_group(chromium: Browser, sweep: Path) -> None:
    with opened(chromium, written(sweep), viewport={"width": 1280, "height": 900}) as shown:
        lines = shown.page.locator("#figure-parallel .scatterlayer .trace")
        assert lines.count() == 4
        shown.page.locator("#figure-parallel .legendtoggle").first.click()
        expect(lines).to_have_count(3)


def test_hostile_texts_are_shown_and_do_not_run(
    chromium: Browser, make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study(tree=hostile_tree())
    run_hostile(study)
    (tmp_path / "config.yaml").write_text('name: "</pre><script>window.pwned=1</script>"\n')
    with opened(chromium, written(tmp_path)) as shown:
        page = shown.page
        for button in page.locator("#best [data-trial]").all():
            button.click()
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0
        assert page.locator("a[href*=javascript]").count() == 0
        assert HOSTILE[0] in page.locator("#failures").inner_text()
        ticks = page.locator("#slices").inner_text()
        assert '"</script><script>windo…' in ticks
        assert "model.<img src=x onerror=window.pwned=1>" in ticks
        # The policy stops even what would be put into the page later.
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'window.pwned = 2'}))"
        )
        assert page.evaluate("window.pwned") is None
        shown.complaints = [each for each in shown.complaints if "Content Security" not in each]


def test_a_sweep_before_its_first_trial(
    chromium: Browser, make_study: Callable[..., Study], tmp_path: Path
) -> None:
    make_study()
    with opened(chromium, written(tmp_path)) as shown:
        assert "No trial was asked for yet." in shown.page.locator("#history").inner_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_telephone_and_a_desk(chromium: Browser, sweep: Path, width: int) -> None:
    with opened(chromium, written(sweep), viewport={"width": width, "height": 800}) as shown:
        assert shown.page.evaluate("document.documentElement.scrollWidth") == width


def test_it_is_dark_where_the_reader_wants_it_dark(chromium: Browser, sweep: Path) -> None:
    with opened(chromium, written(sweep), color_scheme="dark") as shown:
        page = shown.page
        tick = page.locator("#figure-curves .xtick text").first
        expect(tick).to_have_css("fill", "rgb(228, 233, 240)")
        page.emulate_media(color_scheme="light")
        expect(tick).to_have_css("fill", "rgb(29, 36, 48)")


def test_ten_thousand_trials_are_drawn(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "index.html"
    file.write_text(render(record_of(many(10_000)), datetime(2026, 1, 1)), encoding="utf-8")
    with opened(chromium, file) as shown:
        assert shown.page.locator("#figure-history-0 .point").count() == 2000
