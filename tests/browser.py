"""A page in a real browser, with all that it asks for or complains of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page in the browser, and what it asked for or complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@contextmanager
def opened(
    browser: Browser, url: str, *, ready: str, timeout_ms: float = 30_000, **more: Any
) -> Iterator[Opened]:
    """Open a page until it shows what matches a selector.

    Args:
        browser: that opens it.
        url: of the page.
        ready: selector.
        timeout_ms: milliseconds until it must match.
        more: settings of the browser's context.
    """
    context = browser.new_context(**more)
    shown = Opened(context.new_page())
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("console", shown.note)
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.goto(url)
    shown.page.wait_for_selector(ready, timeout=timeout_ms)
    yield shown
    context.close()
