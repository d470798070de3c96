"""The model card of a bundle: what a person should know before using it (Mitchell et al. 2019)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.intervals import Intervals
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.tasks.decisions.rule import Costs
from rayml.tasks.decisions.wording import rule_text
from rayml.tasks.table import build_task
from rayml.types import ClassLabel, TargetInfo


def model_card(
    info: BundleInfo,
    signature: Signature,
    lineage: Lineage,
    intervals: Intervals | None = None,
) -> str:
    """Render a bundle's model card as Markdown."""
    target = signature.target
    classes = ", ".join(f"`{label}`" for label in target.classes)
    lines = [
        f"# {info.name}",
        "",
        f"Predicts `{target.name}` ({target.task}{': ' + classes if classes else ''}) with "
        f"{_models(info)}. Made {info.created} by rayml {info.rayml}.",
        "",
        "## Metrics",
        "",
        *_metrics(info.metrics),
        "",
        f"Chosen by `{info.metric}` ({info.direction}) on validation; the test split was "
        "read once.",
        *_confirmed(info),
        *_temperature(info),
        *_rule(info, target),
        *_decision(info),
        "",
        *(_intervals(intervals, target) if intervals is not None else []),
        "## Inputs",
        "",
        "Every column may be missing. An unknown category is predicted as a known one, whose "
        "predictions are near the average of all.",
        "",
        "| column | kind | seen in training |",
        "|---|---|---|",
        *(f"| {_cell(c.name)} | {c.kind} | {_cell(_seen(c))} |" for c in signature.inputs),
        "",
        "## Lineage",
        "",
        f"- prepared dataset `{lineage.data_hash}`, source `{lineage.source_fingerprint}`",
        f"- sweep `{lineage.sweep}`, trial {lineage.trial}, {_seeds(lineage)}",
        *(f"- `{key}` = {value!r}" for key, value in lineage.params.items()),
        *(
            f"- epochs {each['first']} to {each['last']} as trial {each['trial']} with "
            + ", ".join(f"`{key}` = {value!r}" for key, value in each["params"].items())
            for each in lineage.schedule
        ),
        "- " + ", ".join(f"{name} {version}" for name, version in lineage.packages.items()),
        "",
    ]
    return "\n".join(lines)


def _models(info: BundleInfo) -> str:
    model = f"`{info.model.target}`"
    if info.ensemble is None:
        return model
    if info.groups:
        return (
            f"an ensemble of {_counted_models(info)}: the mean of their predictions by votes, and "
            "as `spread` its standard deviation over them"
        )
    return (
        f"an ensemble of {info.ensemble} models {model}: the mean of their predictions, and as "
        "`spread` its standard deviation over them"
    )


def _counted_models(info: BundleInfo) -> str:
    counts = Counter[str]()
    for group in info.groups:
        counts[group.model.target] += len(group.votes)
    return " and ".join(f"{count} models `{target}`" for target, count in counts.items())


def _confirmed(info: BundleInfo) -> list[str]:
    found = info.confirmed
    if found is None:
        return ["Its configuration was trained with one seed."]
    return [
        f"Trained again over {found.seeds} seeds its configuration has a mean `{info.metric}` of "
        f"{found.mean:.5g} on validation (95 % bootstrap interval {found.low:.5g} to "
        f"{found.high:.5g})."
    ]


def _temperature(info: BundleInfo) -> list[str]:
    if info.temperature == 1:
        return []
    return [
        f"Log-probabilities are divided by a temperature of {info.temperature:.4g}, which was"
        " fitted on validation and changes no label."
    ]


def _rule(info: BundleInfo, target: TargetInfo) -> list[str]:
    rule = info.decision_rule
    if rule is None:
        return []
    lines = ["", f"{rule_text(rule, target)}."]
    if rule.by_cost and rule.costs is not None:
        lines += ["", *_costs(rule.costs, target.classes)]
    return lines


def _costs(costs: Costs, classes: Sequence[ClassLabel]) -> list[str]:
    if len(classes) > _MOST_COSTS:
        return [f"The costs of {len(classes)} classes are in `bundle.json`."]
    heads = [_cell(f"`{label}` answered") for label in classes]
    return [
        f"| true class | {' | '.join(heads)} |",
        "|---" * (len(classes) + 1) + "|",
        *(
            f"| {_cell(f'`{label}`')} | {' | '.join(f'{each:g}' for each in row)} |"
            for label, row in zip(classes, costs, strict=True)
        ),
    ]


def _decision(info: BundleInfo) -> list[str]:
    if info.decision is None:
        return []
    made = "Made champion" if info.decision.promote else "Not made champion"
    return ["", f"{made}: {info.decision.reason}."]


def _seeds(lineage: Lineage) -> str:
    if lineage.selected:
        # The models of the folds of a training stand for it.
        chosen = [each for each in lineage.selected if not each.get("fold")]
        each = (f"{m['trial']} (seed {m['seed']}, votes {m['votes']})" for m in chosen)
        return f"with the models of trials {', '.join(each)}{_folds(lineage)}"
    if not lineage.members:
        return f"seed {lineage.seed}"
    seeds = list(dict.fromkeys(lineage.members))
    seeds_text = f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    return seeds_text + _folds(lineage)


def _folds(lineage: Lineage) -> str:
    return f", a model for each of {max(lineage.folds) + 1} folds" if lineage.folds else ""


def _metrics(
    metrics: Mapping[Literal["validation", "test"], Mapping[str, float | None]],
) -> list[str]:
    splits = list(metrics)
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    rows = [f"| metric | {' | '.join(splits)} |", "|---" * (len(splits) + 1) + "|"]
    for name in names:
        values = (metrics[split].get(name) for split in splits)
        shown = " | ".join("" if value is None else f"{value:.5g}" for value in values)
        rows.append(f"| {name} | {shown} |")
    return rows


def _intervals(found: Intervals, target: TargetInfo) -> list[str]:
    kind = build_task(target).region
    size = "labels" if target.classes else "width"
    return [
        f"## {kind.capitalize()}s",
        "",
        f"An answer may have {'an' if kind[0] in 'aeiou' else 'a'} `{kind}` that holds the truth"
        f" with a probability up to {found.highest:.4g}, calibrated by split conformal prediction"
        f" on {found.rows:,} {_calibration_rows(found)}"
        + (", in proportion to the ensemble's spread." if found.offset is not None else "."),
        "Those rows also chose the epoch and the configuration, so that it may hold the truth a"
        " little less often than asked; on test rows:",
        "",
        f"| asked for | holds the truth | mean {size} | rows |",
        "|---|---|---|---|",
        *(
            f"| {each.level:g} | {each.coverage:.4f} | {each.size:.5g} | {each.rows:,} |"
            for each in found.measured
        ),
        "",
        *_groups(found),
    ]


def _calibration_rows(found: Intervals) -> str:
    if found.held_out:
        return "rows, each predicted by the models that held it out of their training"
    return "validation rows"


def _groups(found: Intervals) -> list[str]:
    if found.group is None:
        return []
    own = ", ".join(f"`{each.value}` ({len(each.scores):,} rows)" for each in found.groups)
    rest = ""
    if found.pooled:
        rest = f" Too few rows, so calibrated on all rows: {_listed(found.pooled)}."
    return [
        f"Calibrated for each value of `{found.group}`: {own or 'none has enough rows'}.{rest}",
        "",
    ]


def _listed(values: Sequence[str | bool], most: int = 12) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(f"`{each}`" for each in values[:most]) + more


_MOST_COSTS = 20
_WITHHELD = {
    "private": "not shown: private",
    "identifier": "not shown: it looks like an identifier",
    "many": "not shown: many different values",
}


def _seen(column: InputColumn, limit: int = 12) -> str:
    categories, minimum, maximum = column.categories, column.minimum, column.maximum
    if minimum is not None and maximum is not None:
        return f"{minimum:.6g} to {maximum:.6g}"
    if column.withheld is not None and column.kind != "timestamp":
        return _WITHHELD[column.withheld]
    more = f" and {len(categories) - limit} more" if len(categories) > limit else ""
    return ", ".join(categories[:limit]) + more


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
