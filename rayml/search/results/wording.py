"""Values and parameters of trials, as short as a line or a cell of a table takes them."""

from __future__ import annotations

from rayml.search.space.parameter import Params


def value_text(value: float | None) -> str:
    """A value of an objective, short; a count keeps all its digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() and value else f"{value:.5g}"


def counted(count: int, noun: str) -> str:
    """A number of things: `1 trial`, `2 trials`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def unit_of(eval_steps: int | None) -> str:
    """What an epoch of a sweep is called.

    Args:
        eval_steps: steps from one evaluation to the next; None where each follows a pass over the
            training split.
    """
    return "epoch" if eval_steps is None else f"{eval_steps}-step round"


def params_text(params: Params) -> str:
    """Parameters by the shortest unique part of their keys."""
    names = {key: _short(key, params) for key in params}
    return ", ".join(
        f"{names[key]}={value:.4g}" if isinstance(value, float) else f"{names[key]}={value}"
        for key, value in params.items()
    )


def _short(key: str, params: Params) -> str:
    leaf = key.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == leaf for other in params) == 1
    return leaf if alone else key
