"""The optimizer of stacked models, each lane with its own rate, decay and moments; or of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rayml.settings.train import OptimizerSettings
from rayml.train.optimizers.muon import Matrix, muon_step, others


class Rates(NamedTuple):
    """Hyperparameters of one lane's step."""

    lr: float
    settings: OptimizerSettings


class LaneOptimizer:
    """AdamW, SGD or Muon over a flat buffer of stacked parameters.

    The updates are those of `torch.optim.AdamW` (Loshchilov & Hutter 2019) and of
    `torch.optim.SGD` with Nesterov momentum, whose classes import PyTorch's compiler, a second
    in each process. Several lanes' rows are updated each by PyTorch's fused kernel on a CPU, whose
    pass over a row stays in the cache; together on a GPU, where starting a kernel costs more
    than the row.

    Args:
        name: `adamw`, `sgd` or `muon`.
        lanes: number of lanes at the start.
        width: parameters of a lane.
        device: of the parameters.
        alone: whether there is one lane for ever.
        matrices: that `muon` trains in its own way, see `hidden_matrices`; the rest is trained as
            by `adamw`.
    """

    def __init__(
        self,
        name: str,
        lanes: int,
        width: int,
        device: torch.device,
        *,
        alone: bool = False,
        matrices: Sequence[Matrix] = (),
    ) -> None:
        self._adamw = name != "sgd"
        self._matrices = matrices if name == "muon" else ()
        self._others = others(self._matrices, width)
        self._fused = alone or device.type == "cpu"
        names = ("exp_avg", "exp_avg_sq") if self._adamw else ("momentum_buffer",)
        self._state = {each: torch.zeros(lanes, width, device=device) for each in names}
        # In float32 and beside the parameters, as the fused kernel wants it.
        self._steps = torch.zeros(lanes, device=device if self._fused else None)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Moments by name [lanes, parameters], and `step` [lanes]."""
        return {**self._state, "step": self._steps}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the state by one of the same shapes."""
        for name, own in self._state.items():
            own.copy_(state[name])
        self._steps.copy_(state["step"])

    def add(self, lanes: int) -> None:
        """Append lanes that have not made a step."""
        for name, own in self._state.items():
            self._state[name] = torch.cat([own, own.new_zeros(lanes, own.shape[1])])
        self._steps = torch.cat([self._steps, self._steps.new_zeros(lanes)])

    def keep(self, lanes: Sequence[int]) -> None:
        """Drop all other lanes; one that is named twice is copied."""
        for name, own in self._state.items():
            index = torch.tensor(lanes, dtype=torch.int64, device=own.device)
            self._state[name] = own.index_select(0, index)
        self._steps = self._steps[torch.tensor(lanes, dtype=torch.int64, device=self._steps.device)]

    def copy(self, source: int, target: int) -> None:
        """Give a lane the moments and the number of steps of another one."""
        for own in self._state.values():
            own[target] = own[source]
        self._steps[target] = self._steps[source].clone()

    def step(self, values: Tensor, gradient: Tensor, rates: Sequence[Rates]) -> None:
        """Update the parameters of every lane in place.

        Args:
            values: [lanes, parameters].
            gradient: of the same shape.
            rates: of each lane.
        """
        self._steps += 1
        self._muon(values, gradient, rates)
        if not self._fused:
            (self._adamw_together if self._adamw else self._sgd_together)(values, gradient, rates)
            return
        rows = zip(
            values.unbind(), gradient.unbind(), *(s.unbind() for s in self._state.values()),
            self._steps.unbind(), rates, strict=True,
        )  # fmt: skip
        if self._adamw:
            for *row, step, rate in rows:
                _adamw_row([[each[part] for part in self._others] for each in row], step, rate)
        else:
            for value, slope, momentum, _, rate in rows:
                _sgd_row(value, slope, momentum, rate)

    def _muon(self, values: Tensor, gradient: Tensor, rates: Sequence[Rates]) -> None:
        if not self._matrices:
            return
        peaks = [each.lr / each.settings.lr * each.settings.muon_lr for each in rates]
        decays = [each.settings.weight_decay for each in rates]
        lr = _column(peaks, values)
        decay = _column([1 - a * b for a, b in zip(peaks, decays, strict=True)], values)
        for each in self._matrices:
            muon_step(each, values, gradient, self._state["exp_avg"], lr, decay)

    def _adamw_together(self, values: Tensor, gradient: Tensor, rates: Sequence[Rates]) -> None:
        for part in self._others:
            self._adamw_part(part, values[:, part], gradient[:, part], rates)

    def _adamw_part(
        self, part: slice, values: Tensor, gradient: Tensor, rates: Sequence[Rates]
    ) -> None:
        mean, square = (self._state[name][:, part] for name in ("exp_avg", "exp_avg_sq"))
        lr = _column([each.lr for each in rates], values)
        decay = _column([1 - each.lr * each.settings.weight_decay for each in rates], values)
        beta1 = _column([each.settings.beta1 for each in rates], values)
        beta2 = _column([each.settings.beta2 for each in rates], values)
        steps = self._steps.to(values.device).unsqueeze(1)
        mean.lerp_(gradient, 1 - beta1)
        square.lerp_(gradient.square(), 1 - beta2)
        root = square.sqrt().div_((1 - beta2**steps).sqrt()).add_(1e-8)
        values.mul_(decay).sub_(mean.div(root).mul_(lr / (1 - beta1**steps)))

    def _sgd_together(self, values: Tensor, gradient: Tensor, rates: Sequence[Rates]) -> None:
        momentum = self._state["momentum_buffer"]
        lr = _column([each.lr for each in rates], values)
        decay = _column([each.settings.weight_decay for each in rates], values)
        share = _column([each.settings.momentum for each in rates], values)
        slope = gradient + decay * values
        momentum.mul_(share).add_(slope)
        # Nesterov; without momentum the buffer holds the slope itself, times zero.
        values.sub_(lr * (slope + share * momentum))


def _column(each: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(each, dtype=like.dtype, device=like.device).unsqueeze(1)


def _adamw_row(parts: Sequence[list[Tensor]], step: Tensor, rate: Rates) -> None:
    """Update parts of a lane's values; theirs, their gradients and moments."""
    values, slopes, means, squares = parts
    torch._fused_adamw_(
        values, slopes, means, squares, [], [step] * len(values),
        lr=rate.lr, beta1=rate.settings.beta1, beta2=rate.settings.beta2,
        weight_decay=rate.settings.weight_decay, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip


def _sgd_row(value: Tensor, slope: Tensor, momentum: Tensor, rate: Rates) -> None:
    # A first step from a momentum of zeros is that of PyTorch, which begins with the slope.
    torch._fused_sgd_(
        [value], [slope], [momentum] if rate.settings.momentum else [],
        weight_decay=rate.settings.weight_decay, momentum=rate.settings.momentum, lr=rate.lr,
        dampening=0.0, nesterov=rate.settings.momentum > 0, maximize=False,
        is_first_step=False,
    )  # fmt: skip
