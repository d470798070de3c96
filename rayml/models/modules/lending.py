"""Copies of inputs for modules that may write to them.

Rows are shared: later trials and other processes read them in the same memory, and so do the other
members of an ensemble and the other requests of a batch.
"""

from __future__ import annotations

from torch import Tensor, nn


def keeps_inputs(model: nn.Module) -> bool:
    """Whether a model is known not to write to its inputs, as those of rayml."""
    return type(model).__module__.partition(".")[0] == "rayml"


def lend(model: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Inputs for a call of a model: copies, unless it is known not to write to them.

    A copy costs far less than the pass that it goes through. Comparing `Tensor._version` instead
    would come too late, and would not see what a module writes by way of NumPy.
    """
    return inputs if keeps_inputs(model) else tuple(each.clone() for each in inputs)
