"""The members of a bundle, built of trusted components, loaded and ready to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rayml.config.components.trusted import build_trusted
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BuildError, BundleError
from rayml.models.ensemble import Ensemble
from rayml.models.estimators.estimator import Estimator
from rayml.models.estimators.members import EstimatorMember
from rayml.models.explain.attribution import Explained, GradientExplained, require_captum
from rayml.models.explain.entrances import Entrances
from rayml.models.explain.shares import EstimatorExplained
from rayml.models.layers.folded import Forward, fold
from rayml.models.modules.lazy import materialise
from rayml.models.modules.lending import lend
from rayml.models.modules.outline import Room, TooManyError, bounded, outline
from rayml.models.modules.pooling import learn_pool
from rayml.registry.bundle.bundle import Bundle
from rayml.registry.bundle.group import Group
from rayml.tasks.table import build_task, outputs_of
from rayml.types import Features, FeatureShape


class Members(Protocol):
    """The trained models of a bundle.

    Attributes:
        stacked: whether outputs have a first dimension of members.
        counted: places of the members, each as often as its prediction counts, int64; None where
            each counts once.
        batch_invariant: whether a row's outputs are known to have the same bits in every batch.
    """

    stacked: bool
    counted: Tensor | None
    batch_invariant: bool

    @property
    def rows_apart(self) -> bool:
        """Whether they are rayml's own, none of whose rows sees another."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Outputs of a batch, which is left as it is."""

    def explained(self) -> list[Explained]:
        """Each member for explanations; it shares nothing that changes with those that predict.

        Raises:
            ExplainError: they cannot be explained, or Captum is not installed.
        """


def open_members(bundle: Bundle, preprocessor: Preprocessor, device: torch.device) -> Members:
    """Build and load the members of a bundle.

    Args:
        bundle: a verified bundle.
        preprocessor: preprocessor of the bundle.
        device: where modules run; estimators run on the CPU.

    Raises:
        BundleError: a component is not trusted, or does not take the weights of the bundle.
    """
    parts = [_open_group(_Opened(bundle, each, preprocessor), device) for each in bundle.groups]
    return _Mixed(parts, bundle.votes) if bundle.votes else parts[0]


@dataclass(frozen=True)
class _Opened:
    """A group of members of a bundle, with what it is built for."""

    bundle: Bundle
    group: Group
    preprocessor: Preprocessor

    @property
    def outputs(self) -> int:
        """Outputs of a member for a row."""
        return outputs_of(self.bundle.signature.target)

    @property
    def shape(self) -> FeatureShape:
        """Shape of the prepared features."""
        return self.preprocessor.shape


def _open_group(opened: _Opened, device: torch.device) -> Members:
    return _Estimators(opened) if opened.group.holds_estimators else _Modules(opened, device)


class _Mixed:
    """Members of several structures, structure by structure."""

    stacked = True

    def __init__(self, parts: Sequence[Members], votes: Sequence[int]) -> None:
        self._parts = parts
        self.counted: Tensor | None = torch.arange(len(votes)).repeat_interleave(
            torch.tensor(votes)
        )
        self.batch_invariant = all(each.batch_invariant for each in parts)

    @property
    def rows_apart(self) -> bool:
        return all(each.rows_apart for each in self._parts)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        # Estimators answer on the CPU wherever modules run.
        return torch.cat([each.forward(numeric, categorical).cpu() for each in self._parts])

    def explained(self) -> list[Explained]:
        return [member for each in self._parts for member in each.explained()]


class _Estimators:
    """Estimators, which predict one after another."""

    counted: Tensor | None = None

    @property
    def rows_apart(self) -> bool:
        return False

    def __init__(self, opened: _Opened) -> None:
        self._outputs = opened.outputs
        self._estimators = [_estimator(opened, files) for files in opened.group.files()]
        self._members = [EstimatorMember(each, self._outputs) for each in self._estimators]
        self.stacked = opened.group.members is not None
        self.batch_invariant = all(each.batch_invariant for each in self._estimators)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        features = Features(numeric.cpu().numpy(), categorical.cpu().numpy())
        outputs = [member.outputs(features) for member in self._members]
        return torch.stack(outputs) if self.stacked else outputs[0]

    def explained(self) -> list[Explained]:
        return [EstimatorExplained(each, self._outputs) for each in self._estimators]


class _Modules:
    """PyTorch modules, which run as one where they can."""

    counted: Tensor | None = None
    batch_invariant = False

    def __init__(self, opened: _Opened, device: torch.device) -> None:
        self._opened, self._device = opened, device
        self._model = _model(opened, device)
        self._forward = _forward(self._model)
        self.stacked = isinstance(self._model, Ensemble)

    @property
    def rows_apart(self) -> bool:
        # Of an ensemble that runs as one the members themselves are not at hand.
        made = _module(self._opened)
        return type(made).__module__.startswith("rayml.models.")

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self._forward(numeric, categorical)

    def explained(self) -> list[Explained]:
        require_captum()
        shape = self._opened.shape
        return [GradientExplained(Entrances(each, shape, self._device)) for each in self.modules()]

    def modules(self) -> list[nn.Module]:
        """The members made anew, in evaluation mode, for those who put hooks on modules."""
        if isinstance(self._model, Ensemble):
            return self._model.apart()
        module = _module(self._opened).to(self._device)
        module.load_state_dict(self._model.state_dict())
        return [module.eval().requires_grad_(False)]


def _made(opened: _Opened) -> Any:
    bundle, node, trust = opened.bundle, opened.group.model, opened.bundle.trust
    try:
        return build_trusted(node, "model", trust, shape=opened.shape, outputs=opened.outputs)
    except BuildError as error:
        if isinstance(error.__cause__, TooManyError):
            raise error.__cause__ from error
        raise BundleError(f"bundle.json of {bundle.folder}: {error}") from error


def _estimator(opened: _Opened, files: dict[str, bytes]) -> Estimator:
    estimator = _made(opened)
    bundle, target = opened.bundle, opened.group.model.target
    if not isinstance(estimator, Estimator):
        raise BundleError(
            f"the bundle holds the files of estimators, and {target} of its bundle.json makes a"
            f" {type(estimator).__name__}",
            found=str(bundle.folder),
            remedy="Register the model again",
        )
    try:
        estimator.load(files)
    except Exception as error:  # the user's code may raise anything
        raise BundleError(
            f"{target} does not take the files of the bundle ({type(error).__name__}: {error})",
            found=str(bundle.folder),
            remedy="Install the rayml, and the package of the model, that its lineage names",
        ) from error
    return estimator


def _forward(model: nn.Module | Ensemble) -> Forward:
    """The fastest way to predict that does not change its inputs."""
    if isinstance(model, Ensemble):
        return model
    return fold(model) or (lambda *inputs: model(*lend(model, *inputs)))


def _model(opened: _Opened, device: torch.device) -> nn.Module | Ensemble:
    room = _require_shapes(opened)

    def make() -> nn.Module:
        with bounded(room):
            return _module(opened)

    weights = {name: each.to(device) for name, each in opened.group.weights().items()}
    try:
        if opened.group.members is not None:
            return Ensemble(make, weights, _probe(opened.shape, device))
        model = make().to(device)
        model.load_state_dict(weights)
    except (RuntimeError, TooManyError) as error:
        raise _misfit(opened, str(error)) from error
    return model.eval().requires_grad_(False)


def _module(opened: _Opened) -> nn.Module:
    """The model's module, with initial weights."""
    model = _made(opened)
    if not isinstance(model, nn.Module):
        raise BundleError(
            f"{opened.group.model.target} in bundle.json makes no torch.nn.Module",
            found=str(opened.bundle.folder),
            remedy="Install the rayml, and the package of the model, that its lineage names",
        )
    materialise(model, opened.shape)
    learn_pool(model, build_task(opened.bundle.signature.target))
    return model


def _require_shapes(opened: _Opened) -> Room:
    """Check that the weights have the shapes of the model, before either takes memory.

    Returns:
        The room that the model may take.

    Raises:
        BundleError: the shapes differ, or the model may not be built.
    """
    declared = opened.group.shapes()
    room = Room.of(declared)
    try:
        own = outline(lambda: _module(opened), room)
    except TooManyError as error:
        raise _misfit(opened, str(error)) from error
    if own is None or own == declared:
        return room
    names = [name for name in {**own, **declared} if own.get(name) != declared.get(name)]
    shown = "; ".join(
        f"{name[:100]}: the file has {declared.get(name)}, the model {own.get(name)}"
        for name in names[:3]
    )
    raise _misfit(opened, f"{shown}{f', and {len(names) - 3} more' if len(names) > 3 else ''}")


def _misfit(opened: _Opened, why: str) -> BundleError:
    return BundleError(
        f"{opened.group.folder}weights.safetensors does not fit the model of bundle.json ({why})",
        found=str(opened.bundle.folder),
        remedy="Install the rayml, and the package of the model, that its lineage names",
    )


def _probe(shape: FeatureShape, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A few random rows for a model of this shape."""
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(8, shape.numeric, generator=generator)
    categorical = [torch.randint(n, (8,), generator=generator) for n in shape.cardinalities]
    codes = torch.stack(categorical, 1) if categorical else torch.zeros(8, 0, dtype=torch.int64)
    return numeric.to(device), codes.to(device)
