"""What the tests of a sweep's report start from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rayml.search.study import Study
from rayml.types import PrunerSettings

from .simulated import TREE, run_trials, write_surroundings

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    """Trial 0 completes, 1 completes better, 2 is pruned, 3 fails, 4 still runs."""
    study = make_study()
    trials = study.ask(5, tune_trial="t")
    for trial, value in zip(trials, [0.5, 0.75, 0.875, 0.1, 0.6], strict=True):
        study.report(trial.number, 1, value, {"accuracy": value, "loss": 1 - value})
    study.report(1, 2, 0.5, {"accuracy": 0.5, "auroc": float("nan")})
    study.tell(0, "COMPLETE", 0.5)
    study.tell(1, "COMPLETE", 0.75)
    study.tell(2, "PRUNED", reason="rank 3 of 3")
    study.tell(3, "FAIL", reason="ValueError: no")
    return study


@pytest.fixture
def sweep(make_study: Callable[..., Study], tmp_path: Path) -> Path:
    """Folder of a sweep of 64 trials that is over: finished, pruned and failed ones."""
    study = make_study(tree=TREE, pruner=PrunerSettings(name="median", min_epochs=2))
    run_trials(study, 64)
    write_surroundings(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
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
