"""Modules as users write them, each odd in one way."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rayml.types import FeatureShape


class Plain(nn.Module):
    """One hidden layer; the odd ones change a part of it."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(shape.numeric, 8)
        self.last = nn.Linear(8, outputs)

    def hidden(self, x: Tensor) -> Tensor:
        return self.first(x).relu()

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.last(self.hidden(numeric))


class Writes(Plain):
    """Halves what it is given, in place."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        numeric.mul_(0.5)
        categorical.zero_()
        return super().forward(numeric, categorical)


class WritesByNumPy(Plain):
    """Likewise, by a way that PyTorch does not see."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        array = numeric.numpy()
        array *= 0.5
        return super().forward(numeric, categorical)


class Locked(Plain):
    """Cannot be copied."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.lock = threading.Lock()

    def hidden(self, x: Tensor) -> Tensor:
        with self.lock:
            return super().hidden(x)


class NonLeaf(Plain):
    """Keeps a tensor with a graph, which cannot be copied."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.norm = self.first.weight.norm()


class Generates(Plain):
    """Keeps a generator of its own."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.generator = torch.Generator().manual_seed(0)


class Lambda(Plain):
    """Keeps a function that no other object's equals."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.activation = lambda x: x.relu()

    def hidden(self, x: Tensor) -> Tensor:
        return self.activation(self.first(x))


class Weak(Plain):
    """Knows another object weakly."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.owner = weakref.ref(Plain)


class Lazy(Plain):
    """Learns the width of its inputs from the first batch."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.first = nn.LazyLinear(8)


class LazyNorm(Plain):
    """Likewise, with statistics of batches."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.norm = nn.LazyBatchNorm1d()

    def hidden(self, x: Tensor) -> Tensor:
        return self.norm(self.first(x)).relu()


class BatchNorm(Plain):
    """Has buffers that training changes."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.norm = nn.BatchNorm1d(8)

    def hidden(self, x: Tensor) -> Tensor:
        return self.norm(self.first(x)).relu()


class Hooked(Plain):
    """Has a hook that changes what a layer gives."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.first.register_forward_hook(self._halve)

    @staticmethod
    def _halve(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output / 2


class Branches(Plain):
    """Goes its way by its values."""

    def hidden(self, x: Tensor) -> Tensor:
        hidden = super().hidden(x)
        return hidden if hidden.mean() > 0.4 else 2 * hidden


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * slope


class OwnGradient(Plain):
    """Has a function with a gradient of its own."""

    def hidden(self, x: Tensor) -> Tensor:
        return _Double.apply(super().hidden(x))


class Tied(Plain):
    """Uses one weight twice."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.middle = nn.Linear(8, 8)
        self.again = nn.Linear(8, 8)
        self.again.weight = self.middle.weight

    def hidden(self, x: Tensor) -> Tensor:
        return self.again(self.middle(super().hidden(x)).relu())


class Parametrised(Plain):
    """Has a weight that is computed from others."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.first = nn.utils.parametrizations.weight_norm(self.first)


class Frozen(Plain):
    """Trains its last layer alone."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.first.requires_grad_(False)


class Drawn(Plain):
    """Draws its weights from NumPy's numbers, and noise in training from Python's."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        with torch.no_grad():
            self.first.weight.copy_(torch.from_numpy(np.random.randn(*self.first.weight.shape)))

    def hidden(self, x: Tensor) -> Tensor:
        noise = float(np.random.randn()) if self.training else 0.0
        return super().hidden(x) + noise


TRAINS = [
    Plain, Writes, WritesByNumPy, Locked, NonLeaf, Generates, Lambda, Weak, Lazy, LazyNorm,
    BatchNorm, Hooked, Branches, OwnGradient, Tied, Parametrised, Frozen, Drawn,
]  # fmt: skip
"""Modules that train, alone or as lanes."""


class Empty(nn.Module):
    """Has nothing to train."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return numeric[:, :1]


class Complex(Plain):
    """Has weights that are no real numbers."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.phase = nn.Parameter(torch.zeros(8, dtype=torch.complex64))

    def hidden(self, x: Tensor) -> Tensor:
        return (super().hidden(x) + self.phase).abs()


class Wide(Plain):
    """Gives a column too many."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs + 1)


class Pair(Plain):
    """Gives two things."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Any:
        return super().forward(numeric, categorical), numeric


class Whole(Plain):
    """Gives whole numbers."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return super().forward(numeric, categorical).long()


class Undefined(Plain):
    """Gives no numbers."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return super().forward(numeric, categorical) * float("nan")


class Extra(Plain):
    """Wants more than a batch."""

    def forward(self, numeric: Tensor, categorical: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(numeric * mask, categorical)


class Raises(Plain):
    """Fails in training."""

    def hidden(self, x: Tensor) -> Tensor:
        raise ValueError("the layer is not ready")


class RaisesAtOnce(Plain):
    """Fails when it is made."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        raise ValueError("no such activation")


class RaisesLater(Plain):
    """Fails on the last batch of 300 rows, long after it was tried out."""

    def hidden(self, x: Tensor) -> Tensor:
        if len(x) == 300 % 64:
            raise ValueError("too many batches")
        return super().hidden(x)


FAILS = {
    Empty: "trainable parameters",
    Complex: "float32",
    Wide: "returns shape",
    Pair: "returns a tuple; this task needs one tensor of shape",
    Whole: "returns torch.int64, not real numbers",
    Undefined: "is not finite",
    Extra: r"cannot be called as forward\(numeric, categorical\): missing a required argument",
    Raises: "the layer is not ready",
    RaisesAtOnce: "no such activation",
}
"""Modules that cannot train, with what is told of them."""
