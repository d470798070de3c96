"""What rayml expects of a pruner, as tests for its author.

A class of tests that pytest collects:

    class TestMine(PrunerTests):
        def make(self):
            return Mine(patience=3)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from rayml.search.pruning.pruning import Pruner, PruningDecision

_Report = tuple[int, int, float]


class PrunerTests:
    """The contract of a pruner; subclass it and give `make`.

    Attributes:
        trials: that a simulated sweep has.
        epochs: of each.
    """

    trials: ClassVar[int] = 24
    epochs: ClassVar[int] = 9

    def make(self) -> Pruner:
        """The pruner under test."""
        raise NotImplementedError

    def test_decisions_are_keep_or_prune_with_a_reason(self) -> None:
        """The report of a sweep shows the reason."""
        for found in self._decisions(self.make(), self._reports()).values():
            assert isinstance(found, PruningDecision), f"decide gives a {type(found).__name__}"
            assert found.action in {"keep", "prune"}, f"the action is {found.action!r}"
            assert found.action == "keep" or found.reason, "a pruned trial has no reason"

    def test_decisions_follow_from_the_reports(self) -> None:
        """Neither chance, nor the clock, nor another pruner of the process has a part in them."""
        one, other = self.make(), self.make()
        mine, theirs = {}, {}
        for number, step, value in self._reports():
            mine[number, step] = one.decide(number, step, value)
            random.seed(step)
            theirs[number, step] = other.decide(number, step, value)
            self._end(one, number, step)
            self._end(other, number, step)
        assert mine == theirs, "the same reports lead to other decisions"

    def test_a_report_that_comes_again_counts_once(self) -> None:
        """A trial whose worker died repeats its last epochs."""
        twice = self.make()
        found = {}
        for number, step, value in self._reports():
            twice.seen(number, step, value)
            found[number, step] = twice.decide(number, step, value)
            again = twice.decide(number, step, value)
            assert again == found[number, step], "asked again, it decides otherwise"
            self._end(twice, number, step)
        assert found == self._decisions(self.make(), self._reports()), (
            "a report that came twice leads to other decisions"
        )

    def test_a_resumed_sweep_goes_on_as_it_was(self) -> None:
        """A new pruner that has `seen` the earlier reports decides as the old one."""
        reports = self._reports()
        half = len(reports) // 2
        whole = self._decisions(self.make(), reports)
        rest = self.make()
        for number, step, value in reports[:half]:
            rest.seen(number, step, value)
            self._end(rest, number, step)
        found = self._decisions(rest, reports[half:])
        assert all(whole[key] == decision for key, decision in found.items()), (
            "after a resume it decides otherwise"
        )

    def test_the_best_trial_goes_on(self) -> None:
        """A trial that is better than all others at each of its steps is never stopped."""
        pruner = self.make()
        for number, step, value in self._reports():
            pruner.seen(number, step, value)
            self._end(pruner, number, step)
        for step in range(1, self.epochs + 1):
            found = pruner.decide(self.trials, step, -1.0)
            assert found.action == "keep", f"the best trial is stopped: {found.reason}"

    def _decisions(
        self, pruner: Pruner, reports: Sequence[_Report]
    ) -> dict[tuple[int, int], PruningDecision]:
        found = {}
        for number, step, value in reports:
            found[number, step] = pruner.decide(number, step, value)
            self._end(pruner, number, step)
        return found

    def _end(self, pruner: Pruner, number: int, step: int) -> None:
        if step == self.epochs:
            pruner.completed(number)

    def _reports(self) -> list[_Report]:
        """Curves that fall, four trials at a time; smaller is better, and none is below 0."""
        draw = random.Random(0)  # noqa: S311 - rows of a test
        levels = [draw.random() for _ in range(self.trials)]
        return [
            (number, step, levels[number] + 1 / step)
            for start in range(0, self.trials, 4)
            for step in range(1, self.epochs + 1)
            for number in range(start, min(start + 4, self.trials))
        ]
