"""A cohort: trials of one structure that a worker trains together as lanes.

Each epoch is reported to the study, which decides which trials go on, and proposes new ones for
the room of the others. Checkpoints are rayml's own.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from torch import nn

from rayml.errors import CheckpointError, DivergedError, TrainError
from rayml.models.modules.lending import keeps_inputs
from rayml.search.cohort.evolution import Evolution
from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.sequential import LAST, train_trial
from rayml.search.cohort.setting import Setting
from rayml.search.cohort.shared_values import classify, shared_values
from rayml.search.cohort.sizes import SIZES
from rayml.search.cohort.turn_client import TurnClient
from rayml.search.cohort.worker import (
    Refusal,
    attempt,
    forget,
    report_of,
    trial_of,
    write_weights,
)
from rayml.search.problem.trials import AskedTrial, Ended
from rayml.search.pruning.forecast import steps_together
from rayml.search.pruning.pruning import PruningDecision
from rayml.search.pruning.quota import Quota, left, refill
from rayml.search.space.parameter import Params
from rayml.train.blame import explain
from rayml.train.build import build_lane, is_estimator
from rayml.train.families import FAMILY_KEY
from rayml.train.folds.lanes import FoldLoop
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.lanes.structure import live_keys, same_structure
from rayml.train.loop.checkpoint import load_checkpoint
from rayml.train.loop.results import EpochResult
from rayml.train.speed.accelerator import Accelerator
from rayml.train.speed.probe import measure_lanes, why_not_alike, why_not_stacked
from rayml.types import Examples

# So many train together without a measurement, which would cost a good part of a first look.
_FEW_LANES = 2


class Cohort:
    """Trials of one structure that train together until the study has no more of them.

    Args:
        number: of the cohort in the study.
        plan: of the sweep.
        data: of the sweep.
        study: handle of the study's actor.
        tune_trial: id of the Ray Tune trial that trains it.
        quota: trials that it takes at most.
    """

    def __init__(
        self,
        number: int,
        plan: CohortPlan,
        data: SweepData,
        study: Any,
        tune_trial: str,
        quota: Quota,
    ) -> None:
        self._number = number
        self._quota = quota
        self._tune_trial = tune_trial
        self._plan = plan
        self._data = data
        self._study = study
        self._evolution: Evolution | None = None
        if plan.search.population is not None:
            self._evolution = Evolution(number, plan, study, models=data.models)
        self._turn = TurnClient(number, study if plan.search.deterministic else None)
        self._last = plan.cohorts / str(number) / LAST
        self._given = 0
        self._dry = False
        self._capacity = 1
        self._fixed: Params = {}
        self._setting: Setting | None = None
        self._model: nn.Module | None = None
        self._loop: LaneLoop | FoldLoop | None = None
        self._accelerator = Accelerator(
            plan.search.cohort.compile, measures=not plan.search.deterministic
        )

    def run(self, asked: Sequence[AskedTrial], *, classified: bool = True) -> None:
        """Train trials, and those that the study proposes to join them, to their ends.

        Args:
            asked: the trials.
            classified: whether the study knows which of their keys a cohort shares.
        """
        several = bool(asked) and FAMILY_KEY in asked[0].params
        if asked and not classified and (several or not _estimator_of(asked[0], self._plan)):
            with self._turn.taken():
                classify(asked[0].params, self._plan, self._data, self._study)
        self._given = len(asked)
        reason = self._why_never_lanes(asked)
        if reason is None:
            with self._turn.taken():
                opened = attempt(lambda: self._open(asked))
            reason = opened.reason if isinstance(opened, Refusal) else opened
        if reason is None:
            reason = self._train_together()
            # A reason that comes so late holds for those that have joined as well.
            asked = asked if reason is None else ray.get(self._study.lanes.remote(self._number))
        if reason is not None:
            self._loop = None
            self._train_alone(asked, reason)

    def _train_together(self) -> str | None:
        """Train the lanes to their ends; or why those that are left must train alone."""
        while self._loop is not None:
            results = attempt(self._loop.run_epoch)
            if isinstance(results, Refusal):
                return results.reason
            with self._turn.taken():
                self._end(self._judge(results))
                self._join(self._more())
                self._evolve(results)
            if self._loop is not None:
                self._loop.save(self._last)
        forget(self._last.parent)
        return None

    def leave(self) -> None:
        """End the cohort's turns with the study."""
        self._turn.leave()

    def _open(self, asked: Sequence[AskedTrial]) -> str | None:
        """Start trials as lanes, and those that join them; or why they must train alone."""
        if self._evolution is not None:
            asked = self._evolution.recall(asked, self._last)
        lanes = self._built(asked)
        if not lanes:
            return None
        assert self._setting is not None
        if reason := self._why_alone(lanes[0], asked):
            return reason
        self._capacity = max(len(lanes), self._measured(self._setting, lanes[0]))
        if self._is_better_alone(asked):
            return "a cohort of their structure holds one lane"
        self._start(self._setting, lanes, {each.number: each.params for each in asked})
        return None

    def _why_alone(self, lane: NewLane, asked: Sequence[AskedTrial]) -> str | None:
        assert self._setting is not None
        if reason := why_not_stacked(lane, self._setting.task, self._setting.train):
            return reason
        if keeps_inputs(lane.model):
            return None
        again = next(each for each in asked if each.number == lane.number)
        return why_not_alike(lane.model, self._lane(again).model)

    def _is_better_alone(self, asked: Sequence[AskedTrial]) -> bool:
        """Whether trials train one after another; what a dead worker began so goes on so."""
        if self._evolution is not None or self._last.is_dir():
            return False
        if any((self._plan.trials / str(each.number) / LAST).is_dir() for each in asked):
            return True
        return self._plan.measure and self._capacity == 1 and self._data.folds is None

    def _start(
        self, setting: Setting, lanes: Sequence[NewLane], params: Mapping[int, Params]
    ) -> None:
        """Find out what the lanes share, and start them."""
        self._model = copy.deepcopy(lanes[0].model)
        self._fixed = shared_values(params[lanes[0].number], self._plan, self._data)
        loop = setting.loop(lanes)
        self._restore(loop)
        self._loop = loop
        if self._evolution is not None:
            self._evolution.explores(self._changeable(params[lanes[0].number]))
            # A population begins as one: no trial joins those that have trained.
            self._dry = any(lane.epoch for lane in loop.lanes)
        ray.get(self._study.begin.remote([(each.number, each.epoch) for each in loop.lanes]))
        self._end([Ended(lane.number, "COMPLETE") for lane in loop.lanes if lane.finished])
        self._join(self._more())
        self._dry = self._dry or self._evolution is not None
        self._accelerate()

    def _accelerate(self) -> None:
        """Let the cohort train compiled, or in bfloat16, if what is left to train pays for it."""
        if self._loop is None:
            return
        assert self._setting is not None
        lanes = self._loop.lanes
        steps = steps_together(
            self._plan.search.pruner,
            [(lane.epoch, lane.settings.stretches) for lane in lanes],
            0 if self._dry else left(self._given, self._capacity, self._quota),
            self._setting.steps,
        )
        try:
            notes = self._accelerator.start(self._loop.stacked, steps)
        except TrainError as error:
            self._end([Ended(lane.number, "FAIL", explain(error)) for lane in lanes])
            self._dry = True
            return
        for note in notes:
            # Without the cohort's number the study keeps the same words of many but once.
            self._study.note.remote(note)

    def _restore(self, loop: LaneLoop | FoldLoop) -> None:
        """Let lanes that an earlier worker saved go on from there."""
        if not self._last.is_dir():
            return
        try:
            loop.restore(load_checkpoint(self._last))
        except CheckpointError:
            # The machine may have died while it was written; from the start costs time only.
            forget(self._last)

    def _judge(self, results: Mapping[int, EpochResult | DivergedError]) -> list[Ended]:
        """Report an epoch of all lanes; those that end with it."""
        assert self._loop is not None
        metric = self._plan.objective.metric
        reports = [
            report_of(number, each, metric, self._loop.parameters)
            for number, each in results.items()
            if not isinstance(each, DivergedError)
        ]
        decisions: list[PruningDecision] = ray.get(self._study.report.remote(reports))
        decided = {each.number: decision for each, decision in zip(reports, decisions, strict=True)}
        ended = []
        for lane in self._loop.lanes:
            result = results[lane.number]
            if isinstance(result, DivergedError):
                ended.append(Ended(lane.number, "FAIL", explain(result)))
            elif lane.finished:
                ended.append(Ended(lane.number, "COMPLETE"))
            elif decided[lane.number].action == "prune":
                ended.append(Ended(lane.number, "PRUNED", decided[lane.number].reason))
        return ended

    def _evolve(self, results: Mapping[int, EpochResult | DivergedError]) -> None:
        """Let the worst lanes of a population go on as copies of the best."""
        if self._evolution is None or self._loop is None:
            return
        metric = self._plan.objective.metric
        values = {
            lane.number: result.metrics[metric]
            for lane in self._loop.lanes
            if isinstance(result := results[lane.number], EpochResult)
        }
        failed = []
        for number, each in self._evolution.select(self._loop.lanes[0].epoch, values).items():
            try:
                self._loop.copy(each.source, self._lane(AskedTrial(number, each.params)))
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                failed.append(Ended(number, "FAIL", explain(error)))
        self._end(failed)

    def _end(self, ended: Sequence[Ended]) -> None:
        """Keep the weights of trials that end, report their ends, and free their room."""
        assert self._loop is not None
        for each in ended:
            if each.state != "FAIL":
                weights = self._loop.best_weights(each.number)
                write_weights(weights, self._plan.trials / str(each.number))
        if ended:
            ray.get(self._study.tell.remote(ended))
        if len(ended) == len(self._loop):
            self._loop = None
        else:
            self._loop.drop([each.number for each in ended])

    def _more(self) -> list[NewLane]:
        """New trials of the same structure, for the room that there is."""
        alive = 0 if self._loop is None else len(self._loop)
        lanes: list[NewLane] = []
        while not self._dry:
            wanted = refill(alive + len(lanes), self._given, self._capacity, self._quota)
            if not wanted:
                break
            asked: list[AskedTrial] = ray.get(
                self._study.ask.remote(
                    wanted,
                    self._fixed,
                    cohort=self._number,
                    tune_trial=self._tune_trial,
                    request=uuid.uuid4().hex,
                )
            )
            # A budget that is spent stays so.
            self._dry = len(asked) < wanted
            self._given += len(asked)
            lanes += self._built(asked)
        return lanes

    def _join(self, lanes: Sequence[NewLane]) -> None:
        if not lanes:
            return
        if self._loop is None:
            assert self._setting is not None
            self._loop = self._setting.loop(lanes)
            self._accelerator.go_on(self._loop.stacked)
        else:
            self._loop.add(lanes)
        ray.get(self._study.begin.remote([(each.number, 0) for each in lanes]))

    def _built(self, asked: Sequence[AskedTrial]) -> list[NewLane]:
        """Lanes of trials; one that cannot be built fails, one of another shape trains alone."""
        if self._evolution is not None:
            self._evolution.join(asked)
        lanes = []
        for each in asked:
            try:
                lane = self._lane(each)
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                ended = Ended(each.number, "FAIL", explain(error))
                ray.get(self._study.tell.remote([ended]))
                continue
            if self._model is None or same_structure(self._model, lane.model):
                lanes.append(lane)
            else:
                train_trial(each, self._plan, self._data, self._study, self._turn)
        return lanes

    def _lane(self, asked: AskedTrial) -> NewLane:
        config = trial_of(asked.params, self._plan)
        if self._setting is None:
            self._setting = Setting.of(config, self._plan, self._data)
        shape, target = self._data.shape, self._data.target
        models = self._data.models
        return build_lane(asked.number, config, shape=shape, target=target, folds=models)

    def _changeable(self, params: Params) -> set[str]:
        """The searched keys whose values a trial may change while it trains."""
        alternatives = {each.key: each.extremes() for each in self._plan.space.parameters}

        def build(values: Params) -> nn.Module:
            return self._lane(AskedTrial(0, values)).model

        return live_keys(params, alternatives, build)

    def _measured(self, setting: Setting, lane: NewLane) -> int:
        """Lanes that the cohort holds; measured unless they are given."""
        quota = self._quota
        few = quota.lanes == 1 or quota.lanes * setting.models <= _FEW_LANES
        if few or not self._plan.measure:
            return quota.lanes
        # Folds are lanes too.
        most = quota.lanes * setting.models

        def measure() -> int:
            chosen = measure_lanes(lane, setting.task, setting.train, most)
            what = "" if setting.folds is None else " (folds of trials)"
            self._study.note.remote(f"cohort {self._number} trains {chosen.reason}{what}")
            return chosen.lanes

        lanes = SIZES.of(lane.model, lane.settings.batch_size, most, measure)
        return max(1, lanes // setting.models)

    def _why_never_lanes(self, asked: Sequence[AskedTrial]) -> str | None:
        # Lanes that a dead worker left go on as lanes, however few a cohort is given now.
        if self._quota.lanes == 1 and self._data.folds is None and not self._last.is_dir():
            return ""
        if name := _estimator_of(asked[0], self._plan):
            return f"{name} is an estimator, which trains by itself"
        if not isinstance(self._data.train, Examples):
            return "the training split is streamed"
        return None

    def _train_alone(self, asked: Sequence[AskedTrial], reason: str) -> None:
        if self._evolution is not None:
            why = f"a population trains as lanes of one cohort, which these cannot: {reason}"
            with self._turn.taken():
                ended = [Ended(each.number, "FAIL", why) for each in asked]
                ray.get(self._study.tell.remote(ended))
            return
        if reason:
            self._study.note.remote(f"trials train alone: {reason}")
        for each in asked:
            train_trial(each, self._plan, self._data, self._study, self._turn)


def _estimator_of(asked: AskedTrial, plan: CohortPlan) -> str:
    """Name of the estimator that a trial trains; empty if it trains a module, or fails to name."""
    try:
        node = trial_of(asked.params, plan)["model"]
        return str(node["_target_"]).rpartition(".")[2] if is_estimator(node) else ""
    except Exception:  # noqa: BLE001 - the user's code; the trial fails with it when it is built
        return ""
