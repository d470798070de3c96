"""What a confirmation says that it does."""

from __future__ import annotations

from rayml.stages.confirm import announced


def test_as_many_are_named_as_are_confirmed() -> None:
    assert announced(2, "first", 5) == (
        "sweep first: confirming the best 2 trials over 5 seeds each"
    )
    assert announced(1, "first", 5) == "sweep first: confirming the best trial over 5 seeds"
    assert announced(1, "first", 1).endswith("over 1 seed")
