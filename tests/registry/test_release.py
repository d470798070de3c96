"""Whatever happens to a release, it stays one that an endpoint can serve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import RegistryError
from rayml.registry.release import (
    Canary,
    Release,
    end_canary,
    promote,
    roll_back,
    set_shadow,
    start_canary,
    withdraw,
)

VERSIONS = st.integers(1, 4)
STEPS = st.one_of(
    st.tuples(st.just("promote"), VERSIONS),
    st.tuples(st.just("roll back"), st.none()),
    st.tuples(st.just("canary"), VERSIONS),
    st.tuples(st.just("end canary"), st.none()),
    st.tuples(st.just("shadow"), st.none() | VERSIONS),
)


def step(release: Release, what: str, version: int | None) -> Release:
    match what, version:
        case "promote", int():
            return promote(release, version, "test")
        case "roll back", _:
            return roll_back(release, "test")
        case "canary", int():
            return start_canary(release, Canary(version=version, weight=0.1), "test")
        case "end canary", _:
            return end_canary(release, "test")
        case _:
            return set_shadow(release, version, "test")


@given(st.lists(STEPS, max_size=30))
def test_every_sequence_of_changes_keeps_a_release_sound(steps: list[tuple[str, int]]) -> None:
    release = Release()
    for what, version in steps:
        before = release
        try:
            release = step(release, what, version)
        except RegistryError:
            assert release is before
            continue
        assert release.revision == before.revision + (release != before)
        beside = [release.canary and release.canary.version, release.shadow, release.previous]
        assert release.champion is not None or beside == [None] * 3
        assert release.champion is None or release.champion not in beside
        assert release.versions()[:1] == ((release.champion,) if release.champion else ())
        if release.champion != before.champion:
            assert release.previous == before.champion
            assert release.canary is None
            assert release.change.action in {"promote", "roll back"}


@given(VERSIONS, VERSIONS)
def test_a_roll_back_undoes_a_promotion_and_itself(one: int, other: int) -> None:
    first = promote(Release(), one, "test")
    second = promote(first, other, "test")
    if one == other:
        assert second == first
        return
    back = roll_back(second, "test")
    assert (back.champion, back.previous) == (one, other)
    assert roll_back(back, "test").champion == other


def test_one_canary_runs_at_a_time_and_its_share_may_change() -> None:
    release = start_canary(promote(Release(), 1, "a"), Canary(version=2, weight=0.1), "b")
    with pytest.raises(RegistryError, match="version 2 is the canary"):
        start_canary(release, Canary(version=3, weight=0.1), "c")
    assert start_canary(release, Canary(version=2, weight=0.1), "again") is release
    more = start_canary(release, Canary(version=2, weight=0.5), "more")
    assert more.canary is not None
    assert (more.canary.weight, more.revision) == (0.5, release.revision + 1)


def test_what_was_withdrawn_leaves_no_trace_but_its_reason() -> None:
    before = promote(promote(Release(), 1, "a"), 2, "b")
    after = withdraw(promote(before, 3, "c"), before, "it does not load")
    assert (after.champion, after.previous) == (2, 1)
    assert after.revision == before.revision + 2
    assert after.change.reason == "it does not load"


def test_the_first_release_has_nothing_to_roll_back_to() -> None:
    for release in (Release(), promote(Release(), 1, "a")):
        with pytest.raises(RegistryError, match="no earlier champion"):
            roll_back(release, "test")
