"""Which parameters decide whether a trial is good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import TrialState

from rayml.search.charts.style import Figure, axis, literal, percent, short

# The best tenth of the trials is compared with all of them: of fewer it would be one or two.
_LEAST = 20


@dataclass(frozen=True)
class Importance:
    """Shares that add up to 1, the greatest first; none with the reason why there are none."""

    shares: Mapping[str, float] = field(default_factory=dict)
    absent: str = ""


def importance(study: optuna.Study, objective: int = 0) -> Importance:
    """PED-ANOVA (Watanabe, Bansal and Hutter 2023) over the trials that completed.

    It asks which parameters decide whether a trial is among the best tenth.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < _LEAST:
        return Importance(
            absent=f"It takes {_LEAST} finished trials to see what matters; there are"
            f" {len(trials)}. Trials that were pruned do not count."
        )
    values = {trial.values[objective] for trial in trials}
    if len(values) == 1:
        return Importance(
            absent=f"All {len(trials)} finished trials have the same value,"
            f" {values.pop():.5g}: no parameter made a difference."
        )
    # Its import loads scikit-learn, which a sweep does without.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    # Optuna takes the direction of one objective from the study, for several it minimises.
    view = study if len(study.directions) == 1 else _of_one(study, trials, objective)
    shares = get_param_importances(view, evaluator=PedAnovaImportanceEvaluator())
    if not any(shares.values()):
        return Importance(absent="The best trials do not differ from the others in any parameter.")
    return Importance(dict(shares))


def importance_figure(shares: Mapping[str, float], metric: str, objective: int) -> Figure:
    """One bar a parameter.

    Args:
        shares: by parameter, the greatest first.
        metric: that they are about.
        objective: its index.
    """
    keys = list(shares)[::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "importance",
        "x": [short(shares[key]) for key in keys],
        "y": list(range(len(keys))),
        "text": [percent(shares[key]) for key in keys],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [literal(key) for key in keys],
        "hoverinfo": "text+x",
        "marker": {"color": "@complete"},
    }
    layout = {
        "xaxis": axis(
            f"share for {metric}", tickformat=".0%", range=[0, 1.08 * max(shares.values())]
        ),
        "yaxis": {
            "tickvals": list(range(len(keys))),
            "ticktext": [literal(key) for key in keys],
            "automargin": True,
        },
        "showlegend": False,
        "bargap": 0.35,
    }
    return Figure(f"importance-{objective}", [bars], layout, height=110 + 34 * len(keys))


def _of_one(
    study: optuna.Study, trials: Sequence[optuna.trial.FrozenTrial], objective: int
) -> optuna.Study:
    view = optuna.create_study(direction=study.directions[objective])
    view.add_trials(
        [
            optuna.create_trial(
                params=trial.params,
                distributions=trial.distributions,
                value=trial.values[objective],
            )
            for trial in trials
        ]
    )
    return view
