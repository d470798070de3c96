"""The sampler proposes valid, reproducible and good values at a bounded cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import Trial, TrialState

from rayml.search.sampling.axis import axis_of
from rayml.search.sampling.parzen import Mixture
from rayml.search.sampling.tpe import BoundedTPESampler
from rayml.search.sampling.tpe_model import TreeParzenModel
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import SamplerSettings

TREE = {
    "lr": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "drop": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
    "width": {"type": "int", "low": 16, "high": 256, "step": 16},
    "batch": {"type": "int", "low": 8, "high": 1024, "log": True},
    "kind": {"type": "categorical", "choices": ["adam", "sgd", None]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"kind": "sgd"}},
    "nesterov": {"type": "categorical", "choices": [True, False], "when": {"kind": "sgd"}},
    "single": {"type": "int", "low": 3, "high": 3},
}
SPACE = Space.parse(TREE)


def value_of(params: dict[str, Any]) -> float:
    """Best at lr .01, width 128, batch 64, sgd with momentum .9."""
    total = abs(math.log10(params["lr"]) + 2) / 3 + abs(params["width"] - 128) / 128
    total += abs(math.log2(params["batch"]) - 6) / 4 + params["drop"]
    return total + abs(params.get("momentum", 0.0) - 0.9)


def new(sampler: optuna.samplers.BaseSampler, direction: str = "minimize") -> optuna.Study:
    return optuna.create_study(sampler=sampler, direction=direction)


def ask(
    study: optuna.Study, fixed: dict[str, Any] | None = None, space: Space = SPACE
) -> tuple[Trial, dict[str, Any]]:
    if fixed:
        study.enqueue_trial(fixed)
    trial = study.ask()
    return trial, dict(space.suggest(trial, {}))


def run(study: optuna.Study, trials: int, at_once: int = 1) -> list[dict[str, Any]]:
    asked = []
    for _ in range(trials // at_once):
        batch = [ask(study) for _ in range(at_once)]
        for trial, params in batch:
            study.tell(trial, value_of(params))
        asked += [params for _, params in batch]
    return asked


@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), at_once=st.integers(1, 8))
def test_every_proposal_lies_in_the_space(data: st.DataObject, seed: int, at_once: int) -> None:
    study = new(BoundedTPESampler(seed=seed, startup_trials=4))
    for _ in range(5):
        batch = [ask(study) for _ in range(at_once)]
        for trial, params in batch:
            assert SPACE.contains(params, {}), params
            state = data.draw(st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]))
            if state == "PRUNED" and data.draw(st.booleans()):
                trial.report(data.draw(st.floats(allow_infinity=False)), 3)
            number = data.draw(st.floats(allow_nan=False))
            study.tell(trial, number if state == "COMPLETE" else None, TrialState[state])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    fixed=st.fixed_dictionaries(
        {},
        optional={
            "width": st.sampled_from(range(16, 257, 16)),
            "kind": st.sampled_from(["adam", "sgd", None]),
            "lr": st.floats(1e-5, 1.0),
            "momentum": st.floats(0.0, 0.99),
        },
    ),
)
def test_fixed_values_are_kept(seed: int, fixed: dict[str, Any]) -> None:
    study = new(BoundedTPESampler(seed=seed, startup_trials=4))
    run(study, 8)
    for _ in range(3):
        _, params = ask(study, fixed)
        assert {key: params[key] for key in fixed if key in params} == {
            key: value for key, value in fixed.items() if key in params
        }
        assert SPACE.contains(params, {})
        assert set(fixed) - set(params) <= {"momentum"}


def test_the_seed_decides_and_a_resumed_study_goes_on_otherwise() -> None:
    first, again, other = (run(new(BoundedTPESampler(seed=seed)), 40, 4) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    study = new(BoundedTPESampler(seed=1))
    run(study, 20, 4)
    # Another process, with the trials of the first one alone.
    resumed = new(BoundedTPESampler(seed=1))
    resumed.add_trials(study.trials)
    assert run(resumed, 20, 4) == first[20:]


def test_trials_of_a_dead_process_count_as_running_until_they_end() -> None:
    study = new(BoundedTPESampler(seed=0, startup_trials=2))
    run(study, 6)
    orphan, _ = ask(study)
    sampler = BoundedTPESampler(seed=0, startup_trials=2)
    study.sampler = sampler
    ask(study)
    assert set(sampler._one._model.running) == {orphan.number, orphan.number + 1}
    assert sampler._one._model.finished == 6
    study._storage.set_trial_state_values(orphan._trial_id, TrialState.COMPLETE, [1.0])
    ask(study)
    assert orphan.number not in sampler._one._model.running
    assert sampler._one._model.finished == 7


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_exactly_so_many_start_up_trials(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = BoundedTPESampler(seed=0, startup_trials=10)
    modelled: list[int] = []
    propose = TreeParzenModel.propose

    def watched(self: TreeParzenModel, number: int, *rest: Any, **named: Any) -> Any:
        modelled.append(number)
        return propose(self, number, *rest, **named)

    monkeypatch.setattr(TreeParzenModel, "propose", watched)
    study = new(sampler)
    told = 0
    for start in range(0, 48, at_once):
        for trial, params in [ask(study) for _ in range(at_once)]:
            # Failed trials are start-up trials all the same.
            failed = trial.number % 3 == 0
            study.tell(trial, None if failed else value_of(params), TrialState(3 if failed else 1))
            told += not failed
        if start == 16:
            study.sampler = BoundedTPESampler(seed=0, startup_trials=10)
    first = max(10, at_once)
    assert set(modelled) == set(range(first, 48))


def test_start_up_trials_are_a_latin_hypercube() -> None:
    study = new(BoundedTPESampler(seed=3, startup_trials=16))
    params = [ask(study)[1] for _ in range(16)]
    for name in ("lr", "width"):
        found = SPACE.parameters[SPACE.keys.index(name)].distribution
        units = [axis_of(found).encode(each[name]) for each in params]
        assert sorted(int(unit * 16) for unit in units) == list(range(16))
    kinds = [each["kind"] for each in params]
    assert all(5 <= kinds.count(kind) <= 6 for kind in ("adam", "sgd", None))


@pytest.mark.parametrize("at_once", [1, 8])
def test_it_is_better_than_random(at_once: int) -> None:
    def best(sampler: optuna.samplers.BaseSampler) -> float:
        return min(value_of(params) for params in run(new(sampler), 80, at_once))

    ours = [best(BoundedTPESampler(seed=seed)) for seed in range(8)]
    random = [best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(8)]
    assert np.mean(ours) < 0.7 * np.mean(random)
    assert sum(one < other for one, other in zip(ours, random, strict=True)) >= 7


def test_the_direction_counts() -> None:
    study = new(BoundedTPESampler(seed=0), "maximize")
    for _ in range(60):
        trial, params = ask(study)
        study.tell(trial, -value_of(params))
    assert study.best_value > -0.8


def test_others_are_chosen_to_suit_what_is_fixed() -> None:
    tree = {
        "kind": {"type": "categorical", "choices": ["low", "high"]},
        "x": {"type": "float", "low": 0.0, "high": 1.0},
    }
    space = Space.parse(tree)
    study = new(BoundedTPESampler(seed=0, trust=1.0))
    for number in range(60):
        trial, params = ask(study, {"kind": ["low", "high"][number % 2]}, space)
        wanted = 0.1 if params["kind"] == "low" else 0.9
        study.tell(trial, abs(params["x"] - wanted))
    for kind, wanted in (("low", 0.1), ("high", 0.9)):
        found = [ask(study, {"kind": kind}, space)[1]["x"] for _ in range(6)]
        assert np.median(np.abs(np.array(found) - wanted)) < 0.2


def test_trials_asked_at_once_are_spread() -> None:
    study = new(BoundedTPESampler(seed=0))
    run(study, 40)
    units = [
        [axis_of(parameter.distribution).encode(params[parameter.key])
         for parameter in SPACE.parameters if parameter.key in ("lr", "width", "batch")]
        for params in (ask(study)[1] for _ in range(16))
    ]  # fmt: skip
    assert len({tuple(each) for each in units}) == 16
    assert np.array(units).std(axis=0).min() > 0.02


def test_a_proposal_evaluates_a_bounded_number_of_observations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    density = Mixture.log_density

    def watched(self: Mixture, *rest: Any) -> Any:
        sizes.append(self.size)
        return density(self, *rest)

    sampler = BoundedTPESampler(seed=0, good=20, others=100)
    study = new(sampler)
    distributions = {p.key: p.distribution for p in SPACE.parameters}
    for number in range(1500):
        params = {key: axis_of(each).spread((number * 0.618 + 0.3) % 1)
                  for key, each in distributions.items()}  # fmt: skip
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=distributions, value=float(number % 97)
            )
        )
    monkeypatch.setattr(Mixture, "log_density", watched)
    for running in range(8):
        ask(study)
        assert max(sizes) <= 100 + running
    assert len(sizes) >= 16
    assert min(sizes) == 20


def test_a_finished_study_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = optuna.Study.get_trials

    def watched(self: optuna.Study, *rest: Any, **named: Any) -> Any:
        reads.append(1)
        return read(self, *rest, **named)

    study = new(BoundedTPESampler(seed=0))
    run(study, 30)
    monkeypatch.setattr(optuna.Study, "get_trials", watched)
    run(study, 30, 5)
    assert not reads


def test_infeasible_trials_are_avoided() -> None:
    space = Space.parse({"x": {"type": "float", "low": 0.0, "high": 1.0}})
    study = new(BoundedTPESampler(seed=0))
    late = []
    for number in range(60):
        trial, params = ask(study, space=space)
        trial.set_constraint("c", params["x"] - 0.5)
        study.tell(trial, -params["x"])
        late += [params["x"]] if number >= 40 else []
    assert np.median(np.abs(np.array(late) - 0.5)) < 0.15


def test_several_objectives_are_left_to_optuna() -> None:
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=BoundedTPESampler(seed=0, startup_trials=4)
    )
    for _ in range(12):
        trial, params = ask(study)
        assert SPACE.contains(params, {})
        study.tell(trial, [params["lr"], params["width"]])
    assert study.best_trials


def test_a_new_parameter_and_a_changed_range(make_study: Callable[..., Study]) -> None:
    sampler = BoundedTPESampler(seed=0, startup_trials=4)
    study = new(sampler)
    before = Space.parse({"x": {"type": "float", "low": 0.0, "high": 1.0}})
    after = Space.parse(
        {
            "x": {"type": "float", "low": 0.5, "high": 2.0},
            "y": {"type": "int", "low": 1, "high": 4},
        }
    )
    for space in (before, after):
        for _ in range(12):
            trial, params = ask(study, space=space)
            assert space.contains(params, {}), params
            study.tell(trial, sum(params.values()))
    assert sampler._one._model.everywhere().keys() == {"x", "y"}


def test_it_is_the_default_of_a_study(make_study: Callable[..., Study]) -> None:
    study = make_study(sampler=SamplerSettings())
    assert isinstance(study._journal._optuna.sampler, BoundedTPESampler)
