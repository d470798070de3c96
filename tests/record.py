"""What a study that was interrupted must hold when it has gone on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from rayml.search.journal.journal import read_study


def recorded(journal: Path) -> list[FrozenTrial]:
    """Its trials, by number; none before it is there."""
    if not journal.is_file() or b"metric" not in journal.read_bytes():
        return []
    return read_study(journal).trials


def finished(journal: Path) -> dict[int, FrozenTrial]:
    """Those that have ended."""
    return {trial.number: trial for trial in recorded(journal) if trial.state.is_finished()}


def epochs(trial: FrozenTrial) -> int:
    """How many were reported."""
    return len(trial.intermediate_values)


def assert_continued(journal: Path, before: dict[int, FrozenTrial], trials: int) -> None:
    """Check that a study was finished and lost nothing on the way.

    Args:
        journal: of the sweep.
        before: trials that had ended when it was killed.
        trials: its budget.
    """
    after = recorded(journal)
    assert [trial.number for trial in after] == list(range(trials))
    assert all(trial.state.is_finished() for trial in after)
    for number, trial in before.items():
        assert after[number] == trial
    for trial in after:
        assert sorted(trial.intermediate_values) == list(range(1, epochs(trial) + 1))
        for restart in trial.user_attrs.get("restarts", []):
            assert 0 <= restart["reported"] - restart["checkpoint"] <= 1
    assert set(times_told(journal).values()) == {1}
    assert len(times_told(journal)) == trials


def times_told(journal: Path) -> Counter[int]:
    """How often the end of each trial is in the journal, by its id."""
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    return Counter(
        line["trial_id"]
        for line in lines
        if line["op_code"] == 6 and TrialState(line["state"]).is_finished()
    )
