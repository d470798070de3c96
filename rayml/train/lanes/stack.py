"""Models of one structure as one: their parameters stacked in a flat buffer, a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rayml.errors import TrainError
from rayml.models.layers.dropout import Dropout
from rayml.models.modules.lending import lend
from rayml.models.modules.pooling import members_of
from rayml.train.loop.flat import trainable_parameters


class Passes(Protocol):
    """A model's passes written out, for parameters that are stacked in its modules."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Outputs [lanes, rows, outputs] in training."""

    def backward(self, slope: Tensor) -> list[Tensor]:
        """Gradients of the parameters in their order, from that of the outputs."""

    @property
    def kept(self) -> int:
        """Bytes that the last forward pass kept for the backward pass."""


class StackedModel:
    """Lanes of one structure that run as one model.

    A model whose class says `stacks` takes stacked parameters itself. Any other one runs under
    `torch.vmap`, which costs more for each operation and refuses some modules.

    Args:
        models: one for each lane, in the order of their rows; of one structure.

    Attributes:
        values: trainable parameters, float32 [lanes, parameters of a model]; may be changed in
            place.

    Raises:
        ConfigError: a model has no trainable parameter, or one that is not float32.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self._template = models[0]
        self._native = bool(getattr(type(self._template), "stacks", False))
        self._shapes = _shapes(self._template)
        self._saved = tuple(self._template.state_dict())
        self._frozen = len(self._shapes) < len(list(self._template.parameters()))
        self._places = _places(self._template)
        self._alike = _alike(self._template)
        self._dropouts = _dropouts(self._template)
        if not set(self._saved) <= set(self._places) | set(self._alike):
            raise TrainError("a model with tied parameters cannot be stacked", found=self._saved)
        self._leaves: dict[str, Tensor] = {}
        self._activate(models)
        self._take(*_rows(models))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def members(self) -> tuple[int, ...]:
        """The dimension of members that outputs have in training, see `members_of`."""
        return members_of(self._template)

    @property
    def leaves(self) -> list[Tensor]:
        """Trainable parameters as views of `values`, [lanes, ...] each, which gradients are for."""
        return list(self._leaves.values())

    @property
    def dropouts(self) -> int:
        """Number of rayml's `Dropout` layers."""
        return len(self._dropouts)

    def views(self, flat: Tensor) -> list[Tensor]:
        """A tensor shaped as `values`, as views that are shaped as `leaves`."""
        return list(self._cut(flat).values())

    def add(self, models: Sequence[nn.Module]) -> None:
        """Append lanes.

        Raises:
            TrainError: a model has another structure.
        """
        for model in models:
            if _shapes(model) != self._shapes:
                raise TrainError("a model has another structure than the lanes of its cohort")
        values, buffers = _rows(models)
        self._activate(models)
        joined = {name: torch.cat([old, buffers[name]]) for name, old in self._buffers.items()}
        self._take(torch.cat([self.values, values]), joined)

    def keep(self, lanes: Sequence[int]) -> None:
        """Drop all other lanes."""
        index = torch.tensor(lanes, dtype=torch.int64, device=self.values.device)
        buffers = {name: each.index_select(0, index) for name, each in self._buffers.items()}
        self._take(self.values.index_select(0, index), buffers)

    def copy(self, source: int, target: int, model: nn.Module) -> None:
        """Give a lane the state of another one, in place.

        Args:
            source: row of the other one.
            target: row of the lane.
            model: of the lane; what `state_dict` does not hold, such as a dropout probability,
                is taken from it.
        """
        self._activate([model])
        _, own = _rows([model])
        self.values[target] = self.values[source]
        for name, each in self._buffers.items():
            each[target] = each[source] if name in self._saved else own[name][0]

    def passes(self) -> Passes | None:
        """The model's passes written out; None without them, and on a GPU."""
        written = getattr(self._template, "stacked_passes", None)
        if written is None or self.values.device.type != "cpu" or self._frozen:
            return None
        passes: Passes | None = written()
        return passes

    def train(self, mode: bool = True) -> None:
        """Switch between training and evaluation."""
        self._template.train(mode)

    def set_dropout_keys(self, keys: Tensor) -> None:
        """Give each `Dropout` layer its keys of a step, int32 [layers, lanes]."""
        for (name, layer), key in zip(self._dropouts.items(), keys, strict=True):
            self._buffers[f"{name}.key" if name else "key"] = key
            if self._native:
                layer.key = key

    def __call__(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Outputs [lanes, rows, outputs] of features [rows, columns] or [lanes, rows, columns].

        Of a network of several members in training they are [lanes, members, rows, outputs].
        """
        numeric, categorical = lend(self._template, numeric, categorical)
        if self._native:
            result: Tensor = self._template(numeric, categorical)
            return result if result.dim() > 2 else result.expand(len(self), -1, -1)
        by_lane = 0 if numeric.dim() == 3 else None
        run = torch.vmap(self._call, in_dims=(0, 0, by_lane, by_lane))
        return run(self._leaves, self._buffers, numeric, categorical)

    def state(self, lane: int, values: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `state_dict` of a lane's model would hold, as copies.

        Args:
            lane: its row.
            values: shaped as `values`.
            buffers: as of `buffers`.
        """
        own = {name: each[lane] for name, each in {**self._cut(values), **buffers}.items()}
        own |= self._alike
        return {name: own[name].detach().clone() for name in self._saved}

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Stacked buffers and frozen parameters that `state_dict` holds, [lanes, ...] each."""
        return {k: v for k, v in self._buffers.items() if k in self._saved}

    def _call(
        self,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numeric: Tensor,
        categorical: Tensor,
    ) -> Tensor:
        result: Tensor = functional_call(
            self._template, (parameters, buffers), (numeric, categorical)
        )
        return result

    def _take(self, values: Tensor, buffers: dict[str, Tensor]) -> None:
        self.values, self._buffers = values, buffers
        self._leaves = {k: v.requires_grad_() for k, v in self._cut(values).items()}
        if not self._native:
            return
        for name, each in {**self._leaves, **buffers}.items():
            owner, leaf = self._places[name]
            if leaf in owner._buffers:  # noqa: SLF001 - the way to put a tensor there
                owner._buffers[leaf] = each  # noqa: SLF001
            else:
                owner._parameters.pop(leaf, None)  # noqa: SLF001
                setattr(owner, leaf, each)

    def _cut(self, flat: Tensor) -> dict[str, Tensor]:
        cut, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + shape.numel()
            cut[name] = flat.detach()[:, start:stop].view(len(flat), *shape)
            start = stop
        return cut

    def _activate(self, models: Sequence[nn.Module]) -> None:
        """Run a dropout layer if a lane drops units; the other lanes keep every unit."""
        for name, layer in self._dropouts.items():
            layer.active |= any(_dropouts(model)[name].active for model in models)


def _alike(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that are the same in stacked models, by name."""
    return {
        f"{prefix}.{name}" if prefix else name: getattr(module, name)
        for prefix, module in model.named_modules()
        for name in getattr(type(module), "shared_buffers", ())
    }


def _others(model: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {
        name: each for name, each in model.named_parameters() if not each.requires_grad
    }
    for prefix, module in model.named_modules():
        shared = getattr(type(module), "shared_buffers", ())
        found |= {
            name: each
            for name, each in module.named_buffers(prefix, recurse=False)
            if name.rpartition(".")[2] not in shared
        }
    return found


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in trainable_parameters(model).items()}


def _rows(models: Sequence[nn.Module]) -> tuple[Tensor, dict[str, Tensor]]:
    """Flat parameters [lanes, parameters], and all other tensors that lanes do not share."""
    trained = [trainable_parameters(model).values() for model in models]
    values = torch.stack([torch.cat([each.detach().flatten() for each in row]) for row in trained])
    others = [_others(each) for each in models]
    return values, {
        name: torch.stack([each[name].detach() for each in others]) for name in others[0]
    }


def _dropouts(model: nn.Module) -> dict[str, Dropout]:
    return {name: each for name, each in model.named_modules() if isinstance(each, Dropout)}


def _places(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """The module and attribute of each tensor that lanes do not share."""
    found = {}
    for name in {**dict(model.named_parameters()), **_others(model)}:
        prefix, _, leaf = name.rpartition(".")
        found[name] = (model.get_submodule(prefix), leaf)
    return found
