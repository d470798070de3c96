"""What the settings of lanes give for the steps of an epoch, as tensors of all lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rayml.models.layers.dropout import dropout_keys
from rayml.train.lanes.lane import Lane
from rayml.train.optimizers.average import share
from rayml.train.optimizers.schedule import rate


@dataclass(frozen=True)
class EpochSettings:
    """The settings of some lanes for steps of their present epochs.

    Attributes:
        smoothing: of labels, [lanes, 1].
        norms: that gradients are clipped to, [lanes, 1]; None if no lane clips.
        factors: of the peak learning rate, by lane and step.
        keys: of dropout layers, int32 [steps, layers, lanes]; None without layers.
        shares: of the weights in their averages, [steps, lanes, 1]; None without averages.
    """

    smoothing: Tensor
    norms: Tensor | None
    factors: list[list[float]]
    keys: Tensor | None
    shares: Tensor | None

    @classmethod
    def of(
        cls,
        lanes: Sequence[Lane],
        *,
        epoch: int,
        steps: int,
        dropouts: int,
        averages: bool,
        device: torch.device,
    ) -> EpochSettings:
        """Compute them.

        Args:
            lanes: as they are before the epoch.
            epoch: steps of an epoch.
            steps: of these the first ones that are taken.
            dropouts: number of dropout layers.
            averages: whether the lanes' weights are averaged.
            device: of the tensors.
        """
        settings = [lane.settings for lane in lanes]
        first = [lane.epoch * epoch for lane in lanes]
        keys = dropout_keys([each.seed for each in settings], first, steps, dropouts)
        norms = [float("inf") if each.clip_norm is None else each.clip_norm for each in settings]
        shares = [
            [share(each.ema, start + i) for each, start in zip(settings, first, strict=True)]
            for i in range(steps)
        ]
        return cls(
            smoothing=_column([each.label_smoothing for each in settings], device),
            norms=None
            if all(each.clip_norm is None for each in settings)
            else _column(norms, device),
            factors=[
                [rate(each.schedule, start + i, each.stretches * epoch) for i in range(steps)]
                for each, start in zip(settings, first, strict=True)
            ],
            keys=torch.from_numpy(keys).to(device) if dropouts else None,
            shares=torch.tensor(shares, device=device).unsqueeze(-1) if averages else None,
        )


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).unsqueeze(1)
