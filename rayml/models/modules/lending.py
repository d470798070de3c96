"""What a model is given is its own: a user's module may write to its inputs.

The rows that it is asked about are shared: with the trials after it and with other processes, which
read them in the same memory, with the other members of an ensemble, with the neighbours of a batch.
"""

from __future__ import annotations

from torch import Tensor, nn


def keeps_inputs(model: nn.Module) -> bool:
    """Whether a model is known to leave what it is given as it is, as rayml's own do."""
    return type(model).__module__.partition(".")[0] == "rayml"


def lend(model: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The inputs that a model may be called with: copies, unless it is known not to write.

    A copy costs far less than the pass that it goes through. Comparing `Tensor._version` instead
    would come too late, and would not see what a module writes by way of NumPy.
    """
    return inputs if keeps_inputs(model) else tuple(each.clone() for each in inputs)
