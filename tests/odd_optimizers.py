"""Optimizers as users write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


class Sign(Optimizer):
    """Steps by the sign of a moving average, with a state of many kinds."""

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float = 0.01, decay: float = 0.9):
        super().__init__(params, {"lr": lr, "decay": decay, "least": float("inf")})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for each in group["params"]:
                assert each.grad is not None
                state = self.state[each]
                if not state:
                    state["mean"], state["seen"] = torch.zeros_like(each), 0
                    state["recent"] = (None, [torch.zeros(())])
                state["mean"].lerp_(each.grad, 1 - group["decay"])
                state["seen"] += 1
                state["recent"] = ("norm", [each.grad.norm()])
                each.sub_(group["lr"] * state["mean"].sign())
                group["least"] = min(group["least"], each.grad.norm().item())


class Unsaved(Sign):
    """Keeps a state that no checkpoint holds."""

    def step(self, closure: Any = None) -> None:
        super().step()
        for each in self.state.values():
            each["lock"] = object()


class Nothing:
    """No optimizer."""

    def __init__(self, params: Any) -> None:
        pass
