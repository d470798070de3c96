"""A journal that is torn before its last line gives back what no cut took."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import SweepJournal, read_study
from rayml.search.journal.repair import mend

TRIALS = 6


def batches(path: Path) -> list[bytes]:
    """What a study of some trials writes, by its commits: one a trial, one an epoch, one an end."""
    journal = SweepJournal(path)
    study = optuna.create_study(storage=JournalStorage(journal), study_name="s")
    sizes = [0]

    def commit() -> None:
        journal.commit()
        sizes.append(path.stat().st_size)

    commit()
    running: list[optuna.Trial] = []
    for number in range(TRIALS):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        commit()
        running.append(trial)
        trial.report(number, 1)
        commit()
        if number % 2:
            for each in running:
                study.tell(each, each.number + 0.5)
                commit()
            running = []
    journal.close()
    whole = path.read_bytes()
    return [whole[a:b] for a, b in pairwise(sizes)]


def facts(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.number, trial.state, trial.params, trial.values, trial.intermediate_values


CUTS = st.dictionaries(st.integers(1, 3 * TRIALS - 2), st.floats(0, 1), min_size=1, max_size=3)


@given(cuts=CUTS, together=st.booleans())
@example(cuts={1: 0.0, 7: 0.0, 8: 0.0}, together=False)  # two pieces in one line
@example(cuts={1: 0.0, 6: 0.5, 7: 0.0}, together=False)
def test_what_no_cut_took_is_there(
    cuts: dict[int, float], together: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("salvage") / "journal.log"
    parts = whole_trials(path) if together else batches(path)
    before = [facts(each) for each in read_study(path).trials]
    hit = _trials_of(parts, cuts)
    path.write_bytes(b"".join(_cut(part, cuts.get(i)) for i, part in enumerate(parts)))
    try:
        assert mend(path)
    except SearchError:
        # Of several cuts it may not show which one took a trial; one tells itself.
        assert len(cuts) > 1
        return
    after = {each.number: facts(each) for each in read_study(path).trials}
    assert [after[each[0]] for each in before if each[0] not in hit] == [  # type: ignore[index]
        each for each in before if each[0] not in hit
    ]
    assert mend(path) == ""


def whole_trials(path: Path) -> list[bytes]:
    """Likewise of a sweep: trials written whole, some by one commit, that train side by side."""
    journal = SweepJournal(path)
    study = optuna.create_study(storage=JournalStorage(journal), study_name="s")
    sizes = [0]

    def commit() -> None:
        journal.commit()
        sizes.append(path.stat().st_size)

    commit()
    numbers = range(TRIALS)
    for number in numbers:
        study.add_trial(_running(number))
        if number % 3 != 1:
            commit()
    for step in (1, 2):
        for each in study.get_trials(deepcopy=False)[::-step]:
            optuna.Trial(study, each._trial_id).report(each.number + step, step)
            commit()
    for number in numbers:
        study.tell(number, number + 0.5)
        commit()
    journal.close()
    whole = path.read_bytes()
    return [whole[a:b] for a, b in pairwise(sizes)]


def _running(number: int) -> FrozenTrial:
    return optuna.create_trial(
        state=TrialState.RUNNING,
        params={"x": number / TRIALS},
        distributions={"x": FloatDistribution(0, 1)},
    )


def test_two_cuts_do_not_mistake_one_trial_for_another(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    parts = whole_trials(path)
    before = [facts(each) for each in read_study(path).trials]
    # The creation of trial 0, and later an epoch of a trial that is not yet the last one.
    parts[1] = parts[1][:60]
    at = next(i for i, part in enumerate(parts) if b'"op_code":7' in part)
    parts[at] = parts[at][:60]
    path.write_bytes(b"".join(parts))
    assert "counted as failed: trial 0" in mend(path)
    after = [facts(each) for each in read_study(path).trials]
    assert after[0][1] == TrialState.FAIL
    assert [each[:4] for each in after[1:]] == [each[:4] for each in before[1:]]


def test_a_journal_that_does_not_tell_which_cut_took_a_trial_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    parts = whole_trials(path)
    # Either of them may have been the creation of a trial.
    for at in (1, 4):
        parts[at] = parts[at][:5]
    damaged = b"".join(parts)
    path.write_bytes(damaged)
    with pytest.raises(SearchError, match="cannot be told apart"):
        mend(path)
    assert path.read_bytes() == damaged


def _cut(part: bytes, share: float | None) -> bytes:
    """What a short write leaves of a commit: less than all, ending within a line."""
    if share is None:
        return part
    kept = part[: 1 + int(share * (len(part) - 2))]
    return kept[:-1] if kept.endswith(b"\n") else kept


def _trials_of(parts: list[bytes], cut: dict[int, float]) -> set[int]:
    """Numbers of the trials that the lines of the cut parts are of."""
    found: set[int] = set()
    created = 0
    for number, part in enumerate(parts):
        for line in part.splitlines():
            log = json.loads(line)
            if log["op_code"] == 4:
                if number in cut:
                    found.add(created)
                created += 1
            elif number in cut and "trial_id" in log:
                found.add(log["trial_id"])
    return found


def test_the_lost_creation_of_a_trial_has_a_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    parts = batches(path)
    before = read_study(path).trials
    # The third commit creates trial 1; it is cut within its first line, as by a full disk.
    assert b'"op_code":4' in parts[3]
    parts[3] = parts[3][:20]
    damaged = b"".join(parts)
    path.write_bytes(damaged)
    with pytest.raises(SearchError, match="rayml sweep resume="):
        read_study(path)
    lost = mend(path)
    assert "counted as failed: trial 1" in lost
    kept = list(tmp_path.glob("journal.log.damaged-*"))
    assert [each.read_bytes() for each in kept] == [damaged]
    after = read_study(path).trials
    assert after[1].state == TrialState.FAIL
    assert "torn" in after[1].user_attrs["reason"]
    assert list(map(facts, after[2:])) == list(map(facts, before[2:]))
    SweepJournal(path, existing=True).close()


def test_a_mending_that_was_killed_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    whole = b"".join(batches(path))
    path.with_name("journal.log.mending").write_bytes(whole)
    path.write_bytes(whole[:40])
    assert mend(path) == ""
    assert path.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == ["journal.log"]


def test_a_journal_without_its_study_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    parts = batches(path)
    damaged = b'{"op_c\n' + b"".join(parts[1:])
    path.write_bytes(damaged)
    with pytest.raises(SearchError, match=r"line 1 of .* is damaged"):
        mend(path)
    assert path.read_bytes() == damaged
    assert [each.name for each in tmp_path.iterdir()] == ["journal.log"]
