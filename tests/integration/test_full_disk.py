"""A sweep whose disk runs full ends with one message, loses nothing and goes on with room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rayml.errors import StorageError
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.sweep import run_sweep
from tests.disks import fill, free
from tests.integration.test_sweep import DATA, Watcher, make_plan  # noqa: F401 - a fixture
from tests.record import assert_continued, epochs, finished, recorded
from tests.search.plans import changed

MakePlan = Callable[..., SweepPlan]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("lanes", [None, 1])
def test_a_sweep_on_a_full_disk_goes_on_once_there_is_room(
    make_plan: MakePlan,  # noqa: F811
    small_disk: Path,
    lanes: int | None,
) -> None:
    plan = make_plan(sweeps=small_disk, trials=6, epochs=60, concurrency=2, lanes=lanes)
    journal = plan.folder / "journal.log"
    message = rf"sweep {plan.name} stops: cannot write .*: no space left on device. Make room"
    with pytest.raises(StorageError, match=rf"{message}.*rayml sweep resume={plan.name}"):
        run_sweep(plan, DATA, view=Watcher(40, lambda: fill(small_disk)))
    before = finished(journal)
    assert len(before) < 6
    assert all(trial.state.name != "FAIL" for trial in recorded(journal))
    free(small_disk)
    run_sweep(changed(plan, resume=True), DATA)
    assert_continued(journal, before, 6)
    assert all(epochs(trial) == 60 for trial in recorded(journal))


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_that_cannot_begin_says_so(
    make_plan: MakePlan,  # noqa: F811
    small_disk: Path,
) -> None:
    fill(small_disk)
    plan = make_plan(sweeps=small_disk)
    with pytest.raises(StorageError, match=r"cannot write .*: no space left on device\. Make"):
        run_sweep(plan, DATA)
