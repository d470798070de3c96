"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from rayml.serve.ingress.ports import Ports
from tests import disks

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Read by Ray when it starts and inherited by its workers.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", "0.5")

# No test asserts a time: a busy machine must not fail one.
settings.register_profile(
    "rayml", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("rayml")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


_LONG = ("tests/e2e/", "tests/integration/")


def pytest_configure() -> None:
    """Take SIGINT, which some tests send to themselves, where a script runs them in the background.

    A shell without job control lets such a command ignore it, and Python leaves it at that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, so that those who share the work end at about the same time."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Chooses ports that are nobody else's until the test ends.

    One that nothing of the test binds refuses connections.
    """
    held = Ports()
    yield held
    held.release()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data sets are absent: {SHARED}")
    return SHARED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 1 MiB."""
    folder = tmp_path / "small"
    with disks.small_disk(folder, "1m") as mounted:
        if not mounted:
            pytest.skip("a small disk needs the right to mount one")
        yield folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray with two CPUs for the whole test session."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium, as Debian's package or another installation brings it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium is on the path, as Debian's package `chromium` puts it there")
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", "--disable-gpu"]
    with sync_playwright() as driver:
        # As root it starts without a sandbox only.
        browser = driver.chromium.launch(
            executable_path=program, args=quiet, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()
