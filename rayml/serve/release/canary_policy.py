"""Whether a canary goes on, becomes champion or is rolled back: a pure policy.

Guards look at a canary again and again, so shares are compared by a test that stays valid however
often it is looked at: it rejects once the likelihood of the data under all larger shares, averaged,
exceeds that under the allowed share by `1 / LEVEL` (a mixture of likelihood ratios; Robbins 1970,
"Statistical methods related to the law of the iterated logarithm").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rayml.serve.release.counters import Counts
from rayml.settings.release import GuardSettings

LEVEL = 1e-3
# A difference of latency below this harms no client.
_SLACK_S = 0.005
_Z = 3.1  # one-sided, at LEVEL


@dataclass(frozen=True, slots=True)
class CanaryDecision:
    """The next step for a canary, the reason, and the figures behind it."""

    outcome: Literal["go on", "promote", "roll back"]
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def judge(
    canary: Counts, champion: Counts, *, elapsed_s: float, guards: GuardSettings, refusal: str = ""
) -> CanaryDecision:
    """Decide on a canary by comparing it with the champion over the same requests.

    Args:
        canary: its counters since it started.
        champion: those of the champion since then.
        elapsed_s: seconds since it started.
        guards: limits and window.
        refusal: why a replica could not load it; empty if all could.
    """
    figures = _figures(canary, champion, elapsed_s)
    if refusal:
        return CanaryDecision("roll back", f"a replica does not load it: {refusal}", figures)
    for breach in _breaches(canary, champion, guards):
        return CanaryDecision("roll back", breach, figures)
    if elapsed_s < guards.window_s:
        left = guards.window_s - elapsed_s
        return CanaryDecision("go on", f"its window lasts {left:.0f} s more", figures)
    if canary.requests < guards.min_requests:
        reason = f"it has {canary.requests} of the {guards.min_requests} requests that it needs"
        return CanaryDecision("go on", reason, figures)
    if guards.then == "keep":
        return CanaryDecision("go on", "it passed its window, and is kept", figures)
    reason = (
        f"it passed its window of {guards.window_s:g} s: {canary.requests} requests, "
        f"{canary.failed} failed, p99 {_ms(canary.quantile(0.99))}, "
        f"the champion's {champion.failed} of {champion.requests} and "
        f"{_ms(champion.quantile(0.99))}"
    )
    return CanaryDecision("promote", reason, figures)


def _breaches(canary: Counts, champion: Counts, guards: GuardSettings) -> Iterator[str]:
    if guards.error_rate is not None:
        yield from _share("failed", canary, champion, guards.error_rate)
        yield from _share("refused", canary, champion, guards.error_rate)
    enough = min(canary.requests, champion.requests) >= guards.min_requests
    if guards.p99_ratio is not None and enough:
        yield from _slow(canary, champion, guards.p99_ratio)
    if guards.distribution is not None and enough:
        yield from _shifted(canary, champion, guards.distribution)
    if guards.metric is not None and canary.paired >= guards.min_labels:
        yield from _worse(canary, guards.metric)


def _share(
    kind: Literal["failed", "refused"], a: Counts, b: Counts, margin: float
) -> Iterator[str]:
    of_canary, of_champion = getattr(a, kind), getattr(b, kind)
    allowed = _highest_share(of_champion, b.requests) + margin
    if exceeds(of_canary, a.requests, allowed):
        yield (
            f"{of_canary} of its {a.requests} requests {_SAID[kind]}, of the champion's "
            f"{of_champion} of {b.requests}; {100 * margin:g} % more are allowed"
        )


_SAID = {"failed": "failed", "refused": "were refused as not fitting its signature"}


def _slow(canary: Counts, champion: Counts, ratio: float) -> Iterator[str]:
    p99 = champion.quantile(0.99)
    if p99 is None or math.isinf(p99):
        return
    limit = max(ratio * p99, p99 + _SLACK_S)
    # Its p99 is above the limit exactly if more than a hundredth of its requests are.
    if exceeds(slow := canary.slower_than(limit), canary.requests, 0.01):
        yield (
            f"{slow} of its {canary.requests} requests took longer than {_ms(limit)}, which 1 % "
            f"may: {ratio:g} times the champion's p99 of {_ms(p99)}"
        )


def _shifted(canary: Counts, champion: Counts, limit: float) -> Iterator[str]:
    index, certain = stability_index(canary.predictions, champion.predictions)
    if index > limit and certain:
        yield (
            f"its predictions are distributed otherwise than the champion's: the population "
            f"stability index is {index:.3f}, at most {limit:g} is allowed"
        )


def _worse(canary: Counts, limit: float) -> Iterator[str]:
    n = canary.paired
    mean = canary.excess / n
    variance = max(canary.excess_squared / n - mean**2, 0.0)
    if mean - _Z * math.sqrt(variance / n) > limit:
        yield (
            f"on {n} labelled rows its mean loss exceeds the champion's by {mean:.4f}, at most "
            f"{limit:g} is allowed"
        )


def exceeds(events: int, trials: int, share: float) -> bool:
    """Whether events are certainly more frequent than a share; valid however often it is asked."""
    from scipy.special import betaln
    from scipy.stats import beta

    if events <= share * trials or not 0 < share < 1:
        return False
    misses = trials - events
    averaged = (
        betaln(events + 1, misses + 1)
        + beta.logsf(share, events + 1, misses + 1)
        - math.log1p(-share)
    )
    allowed = events * math.log(share) + misses * math.log1p(-share)
    return bool(averaged - allowed > -math.log(LEVEL))


def stability_index(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[float, bool]:
    """The population stability index of two histograms, and whether it is beyond chance.

    Under equal distributions the index times nm / (n + m) is about chi-squared (Yurdakul and
    Naranjo 2020, "Statistical properties of the population stability index").
    """
    from scipy.stats import chi2

    bins = [(a, b) for a, b in zip(one, other, strict=False) if a + b]
    if len(bins) < 2:
        return 0.0, False
    n, m = sum(a for a, _ in bins), sum(b for _, b in bins)
    if not n or not m:
        return 0.0, False
    index = 0.0
    for a, b in bins:
        # Half a count keeps the logarithm of an empty step finite.
        p, q = (a + 0.5) / (n + len(bins) / 2), (b + 0.5) / (m + len(bins) / 2)
        index += (p - q) * math.log(p / q)
    certain = index * n * m / (n + m) > chi2.ppf(1 - LEVEL, len(bins) - 1)
    return index, bool(certain)


def _highest_share(events: int, trials: int) -> float:
    """Upper end of the Clopper-Pearson interval of a share."""
    from scipy.stats import beta

    if events >= trials:
        return 1.0
    return float(beta.ppf(1 - LEVEL, events + 1, trials - events))


def _figures(canary: Counts, champion: Counts, elapsed_s: float) -> dict[str, Any]:
    return {
        "seconds": round(elapsed_s, 1),
        **{
            f"{who}_{name}": value
            for who, counts in (("canary", canary), ("champion", champion))
            for name, value in _shown(counts).items()
        },
    }


def _shown(counts: Counts) -> dict[str, Any]:
    return {
        "requests": counts.requests,
        "failed": counts.failed,
        "refused": counts.refused,
        "p99_s": _finite(counts.quantile(0.99)),
        "labels": counts.labels,
        "loss": counts.loss / counts.labels if counts.labels else None,
    }


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else round(seconds, 5)


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1e3 * seconds:.1f} ms"
