"""Makes the winner of a sweep a version in the registry, measured once on the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.config.stored import require_trusted_params
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo, ConfirmedMetric, GroupInfo
from rayml.registry.bundle.manifest import MANIFEST
from rayml.registry.bundle.provenance import Lineage, package_versions
from rayml.registry.bundle.signature import make_signature
from rayml.registry.bundle.signing import sign, signing_key
from rayml.registry.champion import act, champion_of
from rayml.registry.promotion import PromotionDecision, without_comparison
from rayml.registry.store import Registry
from rayml.search.results.confirmation import Confirmation
from rayml.settings.search import ConfirmSettings
from rayml.stages.checks.preflight import trial_config
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep
from rayml.stages.context import Context
from rayml.stages.winners.judge import judge
from rayml.stages.winners.stand_ins import find_stand_ins
from rayml.stages.winners.tested import Calibration, tested
from rayml.stages.winners.winner import Winner, committee_of, find_winner
from rayml.storage.temporary import temporary_folder
from rayml.train.build import build_trial_task, estimator_of, is_estimator

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.models.estimators.members import Committee
    from rayml.registry.bundle.intervals import Intervals


def register_winner(context: Context, sweep: Path, data: PreparedDataset) -> int:
    """Bundle and register the winner of a sweep; the config's policy may promote it.

    Returns:
        The number of the new version.

    Raises:
        SearchError: no trial of the sweep has a value within the constraints, or the weights of
            the best one are gone.
    """
    config = context.config
    registry = Registry(Path(config.paths.registry), context.trust)
    key = signing_key(config.registry.signing)
    trial = trial_config(config_of_sweep(sweep).trusted(context.trust).plain)
    seen = registry.release(config.name)

    def decide(winner: Winner, models: Committee, data: PreparedDataset) -> PromotionDecision:
        if config.registry.promote == "better":
            champion = champion_of(registry, config.name, seen)
            force = config.registry.force
            return judge(winner, data, champion, models=models, force=force, trust=context.trust)
        return without_comparison(config.registry.promote)

    with context.watch.stage("register"), temporary_folder("register") as folder:
        bundle = folder / "bundle"
        settings = confirm_settings(context, sweep)
        info, intervals = write_winner(
            sweep,
            trial,
            data,
            name=config.name,
            folder=bundle,
            decide=decide,
            settings=settings,
            trust=context.trust,
        )
        if key is not None:
            sign(bundle / MANIFEST, key)
        version = registry.register(bundle)
        assert info.decision is not None
        act(registry, config.name, version, info.decision, seen=seen)
    show.registered(info, version, data.preprocessor.target, settings.decide.metric)
    show.regions(intervals, data.preprocessor.target, version)
    return version


def write_winner(
    sweep: Path,
    trial: Mapping[str, Any],
    data: PreparedDataset,
    *,
    name: str,
    folder: Path,
    decide: Callable[[Winner, Committee, PreparedDataset], PromotionDecision] | None = None,
    settings: ConfirmSettings | None = None,
    trust: Trust = ONLY_OWN,
) -> tuple[BundleInfo, Intervals | None]:
    """Write the bundle of a sweep's winner, measured once on the test split.

    Args:
        sweep: folder of the sweep.
        trial: plain config that its trials started from.
        data: that they trained on.
        name: of the model in the registry.
        folder: of the bundle, which is made.
        decide: whether it becomes champion, on data as the bundle transforms them; the bundle
            records it. None records nothing.
        settings: how it is calibrated; None takes the defaults.
        trust: whose code the stored trials may name.

    Raises:
        SearchError: no trial of the sweep has a value, or its weights are gone.
        BuildError: the winner's values name a component that is not trusted.
    """
    winner = _trusted_winner(sweep, trial, trust)
    task = build_trial_task(winner.config["task"], data.preprocessor.target)
    models = committee_of(winner, data)
    stand_ins = find_stand_ins(models, task, data)
    data = replace(data, preprocessor=data.preprocessor.standing_in(stand_ins))
    calibration = Calibration(winner, models, task, data, settings or ConfirmSettings())
    test, regions = tested(calibration, sweep)
    winner = calibration.calibrated_winner
    info = BundleInfo(
        name=name,
        model=StoredNode.of(winner.config["model"]),
        metric=winner.metric,
        direction=winner.direction,
        metrics={"validation": calibration.validation_metrics(), "test": test},
        ensemble=len(winner.members) if winner.selected or len(winner.members) > 1 else None,
        groups=_groups(winner),
        confirmed=_confirmed(winner.confirmation),
        decision=None if decide is None else decide(winner, calibration.served, data),
        temperature=winner.temperature,
        decision_rule=winner.rule,
    )
    write_bundle(
        folder,
        info=info,
        signature=make_signature(data.preprocessor, csv=data.csv),
        lineage=_lineage(winner, data, sweep),
        preprocessor=data.preprocessor,
        groups=_states(winner),
        intervals=regions,
    )
    return info, regions


def _trusted_winner(sweep: Path, trial: Mapping[str, Any], trust: Trust) -> Winner:
    winner = find_winner(sweep, trial)
    require_trusted_params(winner.params, trust)
    for each in winner.members:
        require_trusted_params(each.params, trust)
    return winner


def _groups(winner: Winner) -> tuple[GroupInfo, ...]:
    if not winner.selected:
        return ()
    return tuple(
        GroupInfo(
            model=StoredNode.of(group[0].config["model"]),
            votes=tuple(each.votes for each in group),
        )
        for group in winner.groups
    )


def _lineage(winner: Winner, data: PreparedDataset, sweep: Path) -> Lineage:
    return Lineage(
        data_hash=data.hash,
        source_fingerprint=data.source,
        sweep=sweep.name,
        trial=winner.number,
        params=winner.params,
        seed=winner.members[0].seed,
        members=tuple(each.seed for each in winner.members) if len(winner.members) > 1 else (),
        folds=tuple(each.fold for each in winner.members if each.fold is not None),
        selected=_sources(winner) if winner.selected else (),
        packages=package_versions(_packages(winner)),
        schedule=winner.schedule,
    )


def _packages(winner: Winner) -> Iterator[str]:
    """What the estimators among its models compute with."""
    for group in winner.groups:
        if kind := estimator_of(group[0].config["model"]):
            yield from kind.packages


def _sources(winner: Winner) -> tuple[Mapping[str, Any], ...]:
    """Where each member of a selected ensemble is from, in the order of the bundle."""
    return tuple(
        {"trial": each.trial, "seed": each.seed, "votes": each.votes, "params": dict(each.params)}
        | ({} if each.fold is None else {"fold": each.fold})
        for group in winner.groups
        for each in group
    )


def _states(winner: Winner) -> list[GroupState]:
    """The models as `write_bundle` takes them: stacked weights, or the files of estimators."""
    from rayml.models.ensemble import stack_weights
    from rayml.models.estimators.files import as_files

    states = []
    for group in winner.groups:
        members = [each.weights for each in group]
        if is_estimator(group[0].config["model"]):
            states.append(GroupState(files=[as_files(each) for each in members]))
        elif winner.selected or len(members) > 1:
            states.append(GroupState(stack_weights(members)))
        else:
            states.append(GroupState(members[0]))
    return states


def confirm_settings(context: Context, sweep: Path) -> ConfirmSettings:
    """How a sweep's winner is calibrated: as its own config says, unless the command says it."""
    own, stored = context.config.confirm, config_of_sweep(sweep).trusted(context.trust).typed()
    words = [word.lstrip("+~").partition("=")[0] for word in context.overrides]
    if "confirm" in words:
        return own
    kept = {
        name: getattr(stored.confirm, name)
        for name in ("intervals", "calibrate", "decide")
        if not any(word.startswith(f"confirm.{name}") for word in words)
    }
    return replace(own, **kept)


def _confirmed(confirmation: Confirmation | None) -> ConfirmedMetric | None:
    if confirmation is None:
        return None
    chosen = confirmation.chosen
    if not chosen.steps:  # as the sweep trained it
        return None
    return ConfirmedMetric(
        seeds=len(chosen.values), mean=chosen.mean, low=chosen.low, high=chosen.high
    )
