"""An ensemble: models of one architecture, run together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rayml.models.layers.folded import Forward, fold
from rayml.models.modules.lending import lend

_log = logging.getLogger(__name__)

MOST_FOLDED = 10
"""Of a 3 x 128 MLP 5 members take .4 of the mapped pass at one row, 20 take 1.3 of it."""


class Ensemble:
    """Trained models of one architecture, run on a batch together.

    The members' parameters are stacked and the module is mapped over them (`torch.vmap` of
    `torch.func.functional_call`), so that K members cost the kernel launches of one. A module
    that cannot be mapped, or whose mapped outputs differ from its own, is run member by member
    and a line of the log says so. On a CPU, where a launch costs little, up to `MOST_FOLDED`
    members that have a folded form (`rayml.models.layers.folded`) run faster one by one. Safe to
    use from several threads.

    Args:
        make: makes the module, with whatever weights.
        weights: tensors of the module's `state_dict`, each with a first dimension of members.
        probe: a batch of inputs on which both ways are compared.

    Attributes:
        members: number of models.
        folded: whether each runs in its folded form.
        stacked: whether one forward pass runs them all.

    Raises:
        RuntimeError: the weights do not fit the module.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        weights: Mapping[str, Tensor],
        probe: Sequence[Tensor],
    ) -> None:
        self.members = _count(weights)
        self._make = make
        self._weights = dict(weights)
        self._local = threading.local()
        self._models = [_load(make(), weights, index, share=True) for index in range(self.members)]
        self._folded = _folded(self._models, next(iter(weights.values())).device)
        self.folded, self.stacked = bool(self._folded), False
        if not self.folded:
            self._stack(probe)

    def _stack(self, probe: Sequence[Tensor]) -> None:
        module = self._models[0]
        own = dict([*module.named_parameters(), *module.named_buffers()])
        # Tied weights have several names in a state_dict and one among the parameters.
        self._stacked = {name: each for name, each in self._weights.items() if name in own}
        self._local.module = module
        refusal = self._refusal(probe)
        self.stacked = not refusal
        if refusal:
            name = type(module).__name__
            _log.warning("the members of an ensemble of %s run one by one: %s", name, refusal)
            self._stacked = {}
        else:
            self._models = []

    def apart(self) -> list[nn.Module]:
        """Make the members anew as modules of their own, in evaluation mode."""
        return [
            _load(self._make(), self._weights, index, share=False) for index in range(self.members)
        ]

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Outputs of all members, [members, rows, outputs]."""
        if self.folded:
            return torch.stack([forward(*inputs) for forward in self._folded])
        return self._together(inputs) if self.stacked else self._one_by_one(inputs)

    def _together(self, inputs: Sequence[Tensor]) -> Tensor:
        module = self._module()
        given = lend(module, *inputs)

        def member(weights: dict[str, Tensor]) -> Tensor:
            result: Tensor = functional_call(module, weights, given)
            return result

        # A module that draws random numbers in evaluation mode draws other ones for each member, as
        # it does alone.
        outputs: Tensor = torch.vmap(member, randomness="different")(self._stacked)
        return outputs

    def _one_by_one(self, inputs: Sequence[Tensor]) -> Tensor:
        return torch.stack([model(*lend(model, *inputs)) for model in self._models])

    def _module(self) -> nn.Module:
        """The module of this thread: `functional_call` swaps its tensors while it runs."""
        module: nn.Module | None = getattr(self._local, "module", None)
        if module is None:
            device = next(iter(self._stacked.values())).device
            module = self._local.module = _frozen(self._make().to(device))
        return module

    @torch.inference_mode()
    def _refusal(self, probe: Sequence[Tensor]) -> str:
        """Why the members cannot run together; empty if they can."""
        alone = self._one_by_one(probe)
        try:
            together = self._together(probe)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            text = " ".join(str(error).split())
            return f"{type(error).__name__}: {text}"
        if together.shape != alone.shape or not torch.allclose(
            together, alone, rtol=1e-4, atol=1e-5, equal_nan=True
        ):
            return "stacked, the members give other outputs than alone"
        return ""


def _folded(models: Sequence[nn.Module], device: torch.device) -> list[Forward]:
    """The folded forms of all members; empty where stacked members run faster or one has none."""
    if device.type != "cpu" or len(models) > MOST_FOLDED:
        return []
    forms = [fold(model) for model in models]
    return [form for form in forms if form is not None] if all(forms) else []


def stack_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the `state_dict`s of models of one architecture, members first."""
    return {name: torch.stack([each[name] for each in members]) for name in members[0]}


def _count(weights: Mapping[str, Tensor]) -> int:
    counts = {len(each) if each.dim() else 0 for each in weights.values()}
    if len(counts) != 1 or counts == {0}:
        raise RuntimeError(f"stacked weights have different numbers of members: {sorted(counts)}")
    return counts.pop()


def _load(
    module: nn.Module, weights: Mapping[str, Tensor], index: int, *, share: bool
) -> nn.Module:
    """One member, with views of the stacked tensors or with copies of them."""
    module = module.to(next(iter(weights.values())).device)
    own = {name: each[index] for name, each in weights.items()}
    module.load_state_dict(own, assign=share)
    return _frozen(module)


def _frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)
