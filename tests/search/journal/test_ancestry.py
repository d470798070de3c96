"""A lineage tells with which values each epoch was trained, and whose weights it began with."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from rayml.search.journal.ancestry import Ancestry, Descent, Stretch, schedule

FAMILY = {
    0: Ancestry({"lr": 0.1}, (Descent(3, 1, {"lr": 0.3}),)),
    1: Ancestry({"lr": 0.2}, (Descent(1, 2, {"lr": 0.6}), Descent(5, 2, {"lr": 0.7}))),
    2: Ancestry({"lr": 0.5}),
}


def test_the_values_of_an_epoch() -> None:
    one = FAMILY[1]
    assert [one.params_in(epoch)["lr"] for epoch in (1, 2, 5, 6)] == [0.2, 0.6, 0.6, 0.7]
    assert [one.params_after(epoch)["lr"] for epoch in (0, 1, 4, 5)] == [0.2, 0.6, 0.6, 0.7]
    assert one.params_in(None) == {"lr": 0.2}


def test_a_schedule_goes_back_to_the_first_epoch() -> None:
    assert schedule(0, 6, FAMILY) == (
        Stretch(1, 1, 2, {"lr": 0.5}),
        Stretch(2, 3, 1, {"lr": 0.6}),
        Stretch(4, 6, 0, {"lr": 0.3}),
    )
    assert schedule(0, 3, FAMILY) == (Stretch(1, 3, 0, {"lr": 0.1}),)
    assert schedule(2, 4, FAMILY) == (Stretch(1, 4, 2, {"lr": 0.5}),)


def test_what_happens_again_takes_the_place_of_what_was_recorded() -> None:
    one = FAMILY[1]
    assert one.then(5, None).descents == one.descents[:1]
    again = Descent(1, 0, {"lr": 0.9})
    assert one.then(1, again) == Ancestry({"lr": 0.2}, (again,))
    assert one.then(6, Descent(6, 0, {})).descents[:2] == one.descents


def test_a_descent_is_json() -> None:
    descent = Descent(3, 1, {"lr": 0.1, "clip": None})
    assert Descent.from_json(json.loads(json.dumps(descent.to_json()))) == descent


@given(st.data())
def test_stretches_follow_one_another(data: st.DataObject) -> None:
    """In a random history, where at each epoch trials copy others that do not copy then."""
    count, epochs = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 6))
    family = {number: Ancestry({"x": (number, 0)}) for number in range(count)}  # type: ignore[dict-item]
    trained: dict[int, list[object]] = {number: [] for number in family}
    for epoch in range(1, epochs + 1):
        for number, past in trained.items():
            past.append((number, family[number].params_in(epoch)["x"]))
        winners = data.draw(st.sets(st.sampled_from(range(count)), min_size=1))
        before = {number: list(past) for number, past in trained.items()}
        for loser in set(family) - winners:
            source = data.draw(st.sampled_from(sorted(winners)))
            descent = Descent(epoch, source, {"x": (loser, epoch)})  # type: ignore[dict-item]
            family[loser] = family[loser].then(epoch, descent)
            # A copy after the last epoch comes after what is looked at.
            trained[loser] = before[loser if epoch == epochs else source].copy()
    for number, past in trained.items():
        found = [
            (each.trial, each.params["x"])
            for each in schedule(number, epochs, family)
            for _ in range(each.first, each.last + 1)
        ]
        assert found == past
