"""Networks of several members that train side by side and answer as one.

While such a network trains, it returns the outputs of each member, each of which has a loss of its
own. In evaluation it returns one answer. How outputs become one is the task's, which `learn_pool`
sets.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.tasks.task import Task


class Pool:
    """How a task makes one answer of members' outputs; copies of a network share it.

    Args:
        task: decodes outputs.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, outputs: Tensor) -> Tensor:
        """Outputs [..., rows, outputs] of members' ones, [..., members, rows, outputs]."""
        return self._task.pool(outputs.movedim(-3, 0))

    def __deepcopy__(self, memo: dict[int, Any]) -> Pool:
        return self


class MemberNet(nn.Module):
    """Base class of networks of several members.

    A subclass ends its `forward` with `answer`, so that it returns [members, rows, outputs] in
    training and [rows, outputs] in evaluation; with lanes before either, if it is stacked.

    Args:
        members: number of them.

    Attributes:
        members: number of them.
        pool: makes one answer of theirs; None until `learn_pool` gives it.
        lane_attributes: may differ between stacked models.
    """

    lane_attributes = ("pool",)

    def __init__(self, members: int) -> None:
        super().__init__()
        if members < 1:
            raise ConfigError(
                "a network has no members", found=members, remedy="Set model.k to 1 or more"
            )
        self.members = members
        self.pool: Pool | None = None

    def answer(self, outputs: Tensor) -> Tensor:
        """What `forward` returns, of the members' outputs [..., members, rows, outputs].

        Raises:
            ConfigError: in evaluation, if the network has no task yet.
        """
        return outputs if self.training else self.known_pool()(outputs)

    def known_pool(self) -> Pool:
        """The pool.

        Raises:
            ConfigError: the network has no task yet.
        """
        if self.pool is None:
            raise ConfigError(
                f"{type(self).__name__} does not know how its members answer as one",
                remedy="Call rayml.models.modules.pooling.learn_pool(model, task) first",
            )
        return self.pool


def learn_pool(model: nn.Module, task: Task) -> None:
    """Tell a network of several members of its task; other models need not know."""
    if isinstance(model, MemberNet):
        model.pool = Pool(task)


def members_of(model: nn.Module) -> tuple[int, ...]:
    """The first dimension of what a model returns while it trains: its members, if it has any."""
    return (model.members,) if isinstance(model, MemberNet) else ()
