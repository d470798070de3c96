"""The page at `/` in a real browser: it is filled in, asked, read, and may reach nothing else."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pytest
import uvicorn
from playwright.sync_api import expect

from rayml.errors import ExplainError
from rayml.serve.access.guard import Guard
from rayml.serve.access.keys import Keys, new_key
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.page import front_page
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import SchemaSettings
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.browser import Opened
from tests.browser import opened as open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=window.pwned=1>"
CLOSING = "</script><script>window.pwned=1</script>"
DESK = {"width": 1280, "height": 900}


class Listening(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, app: EndpointApp) -> None:
        super().__init__(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))  # type: ignore[arg-type]
        self.listens = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/"


@contextmanager
def listening(app: EndpointApp) -> Iterator[str]:
    server = Listening(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.listens.wait(60)
    yield server.url
    server.should_exit = True
    thread.join()


def make_app(predictor: Predictor, guard: Guard | None = None) -> EndpointApp:
    settings = ServeSettings()
    model = ServedModel(predictor, version="7", settings=settings)
    return EndpointApp(OneVersion(model), settings=settings, guard=guard)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Predicts a class from columns of every kind, some with hostile names and categories."""
    days = [datetime(2024, 5, day, 8, 30, tzinfo=UTC) for day in range(1, 7)]
    table = pa.table(
        {
            "area": [40.0, 55.5, 70.0, None, 120.0, 200.0] * 140,
            "colour": ["red", "blue", "red", None, "green", "red"] * 140,
            "new": [True, False, None, True, False, True] * 140,
            "sold": pa.array([*days[:5], None] * 140, pa.timestamp("us", tz="UTC")),
            HOSTILE: [CLOSING, "plain", CLOSING, "", '"', "missing"] * 140,
            "__proto__": [1.0, 2.0, 3.0, 4.0, 5.0, 6.5] * 140,
            "street": [f"street {number}" for number in range(210)] * 4,
            "price": ["low", "high", CLOSING, "low", "high", "low"] * 140,
        }
    )
    folder = tmp_path_factory.mktemp("bundles") / "houses"
    untrained_bundle(
        folder,
        table,
        target="price",
        task="multiclass",
        name="houses & homes",
        ensemble=2,
        schema=SchemaSettings(max_published=1000),
    )
    return Predictor.load(folder)


@pytest.fixture(scope="module")
def endpoint(houses: Predictor) -> Iterator[str]:
    with listening(make_app(houses)) as url:
        yield url


@contextmanager
def opened(browser: Browser, url: str, *, key: bool = False, **more: Any) -> Iterator[Opened]:
    ready = "#token:visible" if key else "html[data-ready=yes]"
    with open_page(browser, url, ready=ready, **{"viewport": DESK, **more}) as shown:
        yield shown
    outside = [each for each in shown.requests if not each.startswith((url, "data:"))]
    assert outside == []
    assert shown.complaints == []


def press(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#bars:visible tbody tr")
    expect(page.locator("#result")).to_have_attribute("aria-busy", "false")


def test_it_is_sent_with_a_policy_that_allows_its_own_script_alone(endpoint: str) -> None:
    answer = httpx.get(endpoint)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-model-version"] == "7"
    policy = answer.headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["style-src"])
    assert rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert not re.search(r"https?://|url\(|@import", answer.text)
    assert answer.content == front_page().body


def test_a_row_is_filled_in_predicted_and_explained(
    chromium: Browser, endpoint: str, houses: Predictor
) -> None:
    with opened(chromium, endpoint) as shown:
        page = shown.page
        page.get_by_label("area").fill("150.5")
        page.get_by_label("colour", exact=True).select_option(label="green")
        page.get_by_role("group", name="new").get_by_label("missing").check()
        page.get_by_label("sold").fill("2024-05-03T04:05:06")
        page.get_by_label("__proto__").fill("")
        press(page)
        typical = json.loads(json.dumps(houses.signature.example()))
        row = {**typical, "area": 150.5, "colour": "green", "new": None}
        row |= {"sold": "2024-05-03T04:05:06Z", "__proto__": None}
        own = httpx.post(f"{endpoint}predict", json=row).json()["predictions"][0]
        why = httpx.post(f"{endpoint}explain", json=row).json()["explanations"][0]
        assert page.locator("#headline").inner_text() == own["label"]
        assert f"{100 * own['probability']:.1f} %" in page.locator("#subline").inner_text()
        assert "version 7" in page.locator("#subline").inner_text()
        assert page.locator("#classes li").count() == 3
        shares = sorted(why["attributions"].items(), key=lambda each: -abs(each[1]))
        rows = page.locator("#bars tbody tr")
        assert rows.count() == len(shares) == 7
        widths = []
        for (name, share), bar in zip(shares, rows.all(), strict=True):
            assert bar.locator("th").inner_text().startswith(name)
            assert bar.locator(".bar.down").count() == (share < 0)
            box = bar.locator(".bar i").bounding_box()
            widths.append(box["width"] if box else 0)
            sign = "+" if share > 0 else "\N{MINUS SIGN}" if share < 0 else ""
            assert bar.locator(".amount").inner_text().startswith(sign)
        most = abs(shares[0][1])
        assert widths == pytest.approx(
            [widths[0] * abs(share) / most for _, share in shares], abs=1.5
        )
        assert widths[0] > 50


def test_the_docs_show_every_path_of_the_document(chromium: Browser, endpoint: str) -> None:
    ready = "#operations-default-predict"
    with open_page(chromium, f"{endpoint}docs", ready=ready, viewport=DESK) as shown:
        assert shown.page.title() == "houses & homes 7"
        paths = httpx.get(f"{endpoint}openapi.json").json()["paths"]
        assert shown.page.locator(".opblock").count() == sum(map(len, paths.values()))
        shown.page.locator(ready).click()
        shown.page.get_by_role("button", name="Try it out").click()
        shown.page.get_by_role("button", name="Execute").click()
        answered = shown.page.locator(".live-responses-table tbody .response-col_status").first
        expect(answered).to_contain_text("200")
    assert [each for each in shown.requests if not each.startswith((endpoint, "data:"))] == []
    assert shown.complaints == []


def test_the_form_is_made_from_the_signature(chromium: Browser, endpoint: str) -> None:
    with opened(chromium, endpoint) as shown:
        page = shown.page
        assert page.title() == "houses & homes 7 · rayml"
        area = page.get_by_label("area")
        assert float(area.input_value()) == 70.0
        assert page.locator("#field-0-hint").inner_text() == "40 to 200 in training"
        area.fill("1000")
        assert page.locator("#field-0-hint").inner_text().startswith("outside")
        options = page.get_by_label("colour", exact=True).locator("option").all_inner_texts()
        assert options == ["missing", "red", "blue", "green"]
        # A category that is empty, or called missing, is no missing value.
        hostile = (
            page.get_by_label(HOSTILE)
            .locator("option")
            .evaluate_all("all => all.map(each => each.textContent)")
        )
        assert hostile[0] == "missing"
        assert sorted(hostile[1:]) == sorted([CLOSING, "plain", "", '"', "missing"])
        # Too many for a list to scroll through.
        street = page.get_by_label("street")
        assert street.get_attribute("placeholder") == "missing"
        assert page.locator(f"#{street.get_attribute('list')} option").count() == 210
        for name, text in {"Columns": "blue", "Lineage": "digest"}.items():
            page.get_by_text(name, exact=True).click()
            expect(page.locator("details", has_text=text).first).to_be_visible()
        assert page.locator("#metrics td").all_inner_texts()[:2] == ["accuracy", "0.5"]
        assert page.get_by_role("link", name="API documentation").get_attribute("href") == "docs"
        assert page.get_by_role("link", name="metadata").get_attribute("href") == "metadata"


def test_everything_may_be_missing_and_another_class_be_explained(
    chromium: Browser, endpoint: str
) -> None:
    with opened(chromium, endpoint) as shown:
        page = shown.page
        page.get_by_role("button", name="All missing").click()
        page.get_by_label("Explain").select_option(label=CLOSING)
        with page.expect_request("**/explain") as asked:
            press(page)
        body = json.loads(asked.value.post_data or "")
        assert set(body["rows"][0].values()) == {None}
        assert len(body["rows"][0]) == 7
        assert body["label"] == CLOSING
        assert f"probability of {CLOSING}" in page.locator("#summary").inner_text()
        assert page.locator("#bars small").all_inner_texts() == ["missing"] * 7
        told = page.locator("#subline").inner_text()
        assert "unlike the training data: " in told
        assert told.endswith("street (missing)")
        assert "area" not in told  # training misses it too
        page.get_by_role("button", name="Typical").click()
        assert page.get_by_label("area").input_value() == "70"


def test_hostile_texts_are_shown_and_do_not_run(chromium: Browser, endpoint: str) -> None:
    with opened(chromium, endpoint) as shown:
        page = shown.page
        press(page)
        assert HOSTILE in page.locator("#bars").inner_text()
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'window.pwned = 2'}))"
        )
        assert page.evaluate("window.pwned") is None
        outside = "fetch('http://192.0.2.1/').then(() => 'sent', () => 'refused')"
        assert page.evaluate(outside) == "refused"
        shown.complaints = [each for each in shown.complaints if "Content Security" not in each]


def test_the_keyboard_suffices(chromium: Browser, endpoint: str) -> None:
    with opened(chromium, endpoint) as shown:
        page = shown.page
        page.get_by_label("area").focus()
        page.keyboard.type("9")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.labels[0].textContent") == "colour"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("group", name="new").get_by_label("no").is_checked()
        page.get_by_label("area").press("Enter")
        page.wait_for_selector("#bars:visible tbody tr")
        for control in page.locator("input:visible, select:visible, button:visible").all():
            assert control.evaluate("each => each.labels?.length > 0 || each.textContent !== ''")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_a_telephone_and_a_desk(chromium: Browser, endpoint: str, width: int) -> None:
    with opened(chromium, endpoint, viewport={"width": width, "height": 800}) as shown:
        press(shown.page)
        assert shown.page.evaluate("document.documentElement.scrollWidth") == width


def test_it_is_dark_where_the_reader_wants_it_dark(chromium: Browser, endpoint: str) -> None:
    with opened(chromium, endpoint, color_scheme="dark") as shown:
        expect(shown.page.locator("body")).to_have_css("background-color", "rgb(18, 22, 29)")
        shown.page.emulate_media(color_scheme="light")
        expect(shown.page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")


def test_a_key_is_asked_for_and_kept_in_the_tab(chromium: Browser, houses: Predictor) -> None:
    token, key = new_key("reader", ["predict"])
    with (
        listening(make_app(houses, Guard(lambda: Keys([key]), None))) as url,
        opened(chromium, url, key=True) as shown,
    ):
        page = shown.page
        assert page.locator("#main").is_hidden()
        page.get_by_label("This endpoint asks for a key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_have_text("The endpoint does not accept this key.")
        page.get_by_label("This endpoint asks for a key").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_selector("html[data-ready=yes]")
        press(page)
        assert page.locator("#key").is_hidden()
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        page.reload()
        page.wait_for_selector("html[data-ready=yes]")
        shown.complaints = [each for each in shown.complaints if "401" not in each]


def test_a_model_that_cannot_be_explained_still_predicts(
    chromium: Browser, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ExplainError("codes are taken through embedding layers")

    monkeypatch.setattr(Explainer, "explain", refuse)
    with opened(chromium, endpoint) as shown:
        shown.page.get_by_role("button", name="Predict").click()
        expect(shown.page.locator("#summary")).to_have_text(
            "It is not explained: codes are taken through embedding layers"
        )
        assert shown.page.locator("#headline").inner_text()
        shown.complaints = [each for each in shown.complaints if "422" not in each]


def test_a_refused_row_names_the_column(chromium: Browser, endpoint: str) -> None:
    with opened(chromium, endpoint) as shown:
        shown.page.get_by_label("sold").fill("0001-01-01T00:00:00")
        shown.page.route(
            "**/predict", lambda route: route.fulfill(status=422, json={"error": "column 'sold'"})
        )
        shown.page.get_by_role("button", name="Predict").click()
        expect(shown.page.locator("#trouble")).to_have_text("column 'sold'")
        expect(shown.page.get_by_role("button", name="Predict")).to_be_enabled()
        shown.complaints = [each for each in shown.complaints if "422" not in each]


def test_a_number_is_predicted_in_its_units(
    chromium: Browser, table: pa.Table, tmp_path: Path
) -> None:
    inputs = table.select([*table.column_names[:5], "price"])
    untrained_bundle(tmp_path / "b", inputs, target="price", task="regression")
    predictor = Predictor.load(tmp_path / "b")
    with listening(make_app(predictor)) as url, opened(chromium, url) as shown:
        page = shown.page
        assert page.locator("#label-field").is_hidden()
        page.get_by_label("size").fill("3.5")
        press(page)
        row = {**predictor.signature.example(), "size": 3.5}
        value = httpx.post(f"{url}predict", json=row).json()["predictions"][0]["value"]
        assert float(page.locator("#headline").inner_text()) == pytest.approx(value, rel=1e-4)
        assert page.locator("#classes li").count() == 0
        assert "value of price" in page.locator("#summary").inner_text()
