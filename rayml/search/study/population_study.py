"""A study that records which trials of a population went on as copies of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayml.search.study.study import Study


class PopulationStudy(Study):
    """A study with the lineage of its trials, a system attribute of each, see `Descent`."""

    def inherit(self, cohort: int, epoch: int, descents: Mapping[int, Mapping[str, Any]]) -> None:
        """Record what became of a cohort's trials after an epoch.

        It takes the place of what was recorded of that epoch and of later ones: a cohort that
        went back to its checkpoint trains them again.

        Args:
            cohort: its number.
            epoch: that its trials have finished.
            descents: of those that went on as copies, by number.
        """
        for number, running in self._running.items():
            if running.cohort != cohort:
                continue
            lineage = [each for each in running.lineage if each["epoch"] < epoch]
            if number in descents:
                lineage.append(dict(descents[number]))
            if lineage != running.lineage:
                running.lineage = lineage
                self._ledger.inherited(running.trial_id, lineage)
        self._ledger.commit()

    def lineages(self, cohort: int) -> dict[int, list[Mapping[str, Any]]]:
        """What was recorded of the trials of a cohort that have not ended, by number."""
        return {
            number: running.lineage
            for number, running in self._running.items()
            if running.cohort == cohort
        }
