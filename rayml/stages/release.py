"""Changes the release of a model, and waits until its endpoints serve it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from rayml.errors import ConfigError, RegistryError, ServeError
from rayml.registry import release as releases
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.promotion import PromotionDecision
from rayml.registry.release import Canary, Release
from rayml.registry.store import Registry
from rayml.serve.release.status import read_statuses
from rayml.settings.release import CanarySettings
from rayml.stages.commands import show
from rayml.stages.commands.places import state_folder
from rayml.stages.context import Context

_POLL_S = 0.02


def promote_version(context: Context, version: str | int) -> None:
    """Make a version champion, and wait until every replica answers with it.

    Raises:
        BundleError: its bundle is torn or half-copied; nothing was changed.
        RegistryError: there is no such version, it does not beat a constant answer, or another
            process changed the release meanwhile.
        ServeError: a replica does not load it, which undoes the promotion, or is too slow.
    """
    registry, name = _registry(context), context.config.name
    before = registry.release(name)
    number = int(registry.resolve(name, version).name)
    _check_decision(
        registry.info(name, number).decision, number, force=context.config.registry.force
    )
    after = registry.change_release(
        name,
        lambda seen: releases.promote(seen, number, "rayml promote"),
        expected=before.revision,
    )
    show.line(f"{name}: champion is version {number}, was {before.champion or 'none'}")
    _followed(context, registry, after, number, before)


def _check_decision(decision: PromotionDecision | None, version: int, *, force: bool) -> None:
    """Refuse a version that was no better than a constant; warn of one worse than the champion.

    Raises:
        RegistryError: it does not beat a constant answer, and is not forced.
    """
    if decision is None or decision.verdict in ("not compared", "first", "better", "as good"):
        return
    if decision.verdict == "no better than a constant" and not force:
        raise RegistryError(
            f"version {version} is not promoted: {decision.reason}",
            remedy=f"Promote it all the same with `rayml promote {version} registry.force=true`",
        )
    show.line(f"warning: when version {version} was registered, {decision.reason}")


def roll_back(context: Context) -> None:
    """Make the previous version champion again, and wait until every replica answers with it.

    Raises:
        RegistryError: there is no previous version, or another process changed the release
            meanwhile.
        ServeError: a replica does not follow in time.
    """
    registry, name = _registry(context), context.config.name
    before = registry.release(name)
    after = registry.change_release(
        name, lambda seen: releases.roll_back(seen, "rayml rollback"), expected=before.revision
    )
    show.line(f"{name}: champion is version {after.champion} again, was {before.champion}")
    _followed(context, registry, after, after.champion, before)


def change_beside(context: Context, what: str) -> None:
    """Start or end the canary or the shadow as the config says, and wait for the replicas."""
    registry, name, serve = _registry(context), context.config.name, context.config.serve
    before = registry.release(name)
    if what == "canary":
        after = _put_canary(registry, name, serve.canary)
        number = after.canary.version if after.canary else None
    else:
        after = _put_shadow(registry, name, serve.shadow)
        number = after.shadow
    shown = "none" if number is None else f"version {number}"
    show.line(f"{name}: the {what} is {shown}")
    _followed(context, registry, after, number, before)


def start_beside(context: Context) -> None:
    """Start the canary and the shadow that the config names; one that it does not name stays."""
    registry, name, serve = _registry(context), context.config.name, context.config.serve
    if serve.canary.version is not None:
        _put_canary(registry, name, serve.canary)
    if serve.shadow is not None:
        _put_shadow(registry, name, serve.shadow)


def show_status(context: Context) -> None:
    """Print the release of a model, its replicas with their counters, and the latest changes."""
    registry, name = _registry(context), context.config.name
    try:
        registry.resolve(name, "latest")  # an unknown model has no release to show
    except RegistryError:
        if not (left := read_statuses(state_folder(context.config))):
            raise
        show.left_alone(name, left)
        return
    statuses = read_statuses(registry.folder(name))
    show.release(name, registry.release(name), statuses, registry.history(name))


def _put_canary(registry: Registry, name: str, wanted: CanarySettings) -> Release:
    if wanted.version is None:
        return registry.change_release(
            name, lambda seen: releases.end_canary(seen, "rayml release canary")
        )
    _require_column(registry, name, wanted)
    canary = Canary(
        version=int(registry.resolve(name, wanted.version).name),
        weight=wanted.weight,
        key=wanted.key,
        guards=wanted.guards,
    )
    return registry.change_release(
        name, lambda seen: releases.start_canary(seen, canary, f"weight {canary.weight:g}")
    )


def _require_column(registry: Registry, name: str, wanted: CanarySettings) -> None:
    """Check that a key which is a column names an input of the model.

    Raises:
        ConfigError: it does not.
    """
    kind, _, column = (wanted.key or "").partition(":")
    served = registry.release(name).champion or wanted.version
    if kind != "column" or served is None:
        return
    bundle = load_bundle(registry.resolve(name, served), registry.trust)
    known = [each.name for each in bundle.signature.inputs]
    if column not in known:
        raise ConfigError(
            f"serve.canary.key names the column {column!r}, and the model has no such input",
            remedy=f"Its inputs are {', '.join(known)}",
        )


def _put_shadow(registry: Registry, name: str, wanted: str | int | None) -> Release:
    number = None if wanted is None else int(registry.resolve(name, wanted).name)
    return registry.change_release(
        name, lambda seen: releases.set_shadow(seen, number, "rayml release shadow")
    )


def _followed(
    context: Context, registry: Registry, after: Release, version: int | None, before: Release
) -> None:
    """Wait until every replica follows a release; undo it if one cannot load the version."""
    name, seconds = context.config.name, context.config.serve.follow_timeout_s
    folder, start = registry.folder(name), time.monotonic()
    while True:
        replicas = read_statuses(folder)
        behind = [each.replica for each in replicas if not each.follows(after.revision, version)]
        refusals = [each.refusal(version) for each in replicas if version is not None]
        if refused := next(filter(None, refusals), ""):
            _withdraw(registry, name, after, before, refused)
            raise ServeError(
                f"a replica does not load version {version} ({refused})",
                remedy="The change was undone; register the version again",
            )
        if not behind:
            break
        if time.monotonic() - start > seconds:
            raise ServeError(
                f"{len(behind)} of {len(replicas)} replicas do not follow the release after"
                f" {seconds:g} s",
                found=behind,
                remedy="See `rayml release status`, or raise serve.follow_timeout_s",
            )
        time.sleep(_POLL_S)
    if replicas:
        spent = time.monotonic() - start
        show.line(f"{len(replicas)} replicas follow after {spent:.2f} s")
    else:
        show.line("no endpoint of this model runs")


def _withdraw(registry: Registry, name: str, after: Release, before: Release, refused: str) -> None:
    if after.revision == before.revision:
        return
    reason = f"a replica does not load it: {refused}"
    # A release that changed meanwhile, as the guards of a canary may do, stays as it is.
    with contextlib.suppress(RegistryError):
        registry.change_release(
            name, lambda seen: releases.withdraw(seen, before, reason), expected=after.revision
        )


def _registry(context: Context) -> Registry:
    return Registry(Path(context.config.paths.registry), context.trust)
