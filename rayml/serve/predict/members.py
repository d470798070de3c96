"""The members of a bundle, built of trusted components, loaded and ready to predict."""

from __future__ import annotations

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
from rayml.registry.bundle.bundle import Bundle
from rayml.tasks.table import outputs_of
from rayml.types import Features, FeatureShape


class Members(Protocol):
    """The trained models of a bundle.

    Attributes:
        stacked: whether outputs have a first dimension of members.
        batch_invariant: whether a row's outputs are known to have the same bits in every batch.
    """

    stacked: bool
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
    if bundle.holds_estimators:
        return _Estimators(bundle, preprocessor)
    return _Modules(bundle, preprocessor, device)


class _Estimators:
    """Estimators, which predict one after another."""

    @property
    def rows_apart(self) -> bool:
        return False

    def __init__(self, bundle: Bundle, preprocessor: Preprocessor) -> None:
        self._outputs = outputs_of(bundle.signature.target)
        self._estimators = [_estimator(bundle, preprocessor, f) for f in bundle.members()]
        self._members = [EstimatorMember(each, self._outputs) for each in self._estimators]
        self.stacked = bundle.info.ensemble is not None
        self.batch_invariant = all(each.batch_invariant for each in self._estimators)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        features = Features(numeric.cpu().numpy(), categorical.cpu().numpy())
        outputs = [member.outputs(features) for member in self._members]
        return torch.stack(outputs) if self.stacked else outputs[0]

    def explained(self) -> list[Explained]:
        return [EstimatorExplained(each, self._outputs) for each in self._estimators]


class _Modules:
    """PyTorch modules, which run as one where they can."""

    batch_invariant = False

    def __init__(self, bundle: Bundle, preprocessor: Preprocessor, device: torch.device) -> None:
        self._bundle, self._preprocessor, self._device = bundle, preprocessor, device
        self._model = _model(bundle, preprocessor, device)
        self._forward = _forward(self._model)
        self.stacked = isinstance(self._model, Ensemble)

    @property
    def rows_apart(self) -> bool:
        # Of an ensemble that runs as one the members themselves are not at hand.
        made = _module(self._bundle, self._preprocessor)
        return type(made).__module__.startswith("rayml.models.")

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self._forward(numeric, categorical)

    def explained(self) -> list[Explained]:
        require_captum()
        shape = self._preprocessor.shape
        return [GradientExplained(Entrances(each, shape, self._device)) for each in self.modules()]

    def modules(self) -> list[nn.Module]:
        """The members made anew, in evaluation mode, for those who put hooks on modules."""
        if isinstance(self._model, Ensemble):
            return self._model.apart()
        module = _module(self._bundle, self._preprocessor).to(self._device)
        module.load_state_dict(self._model.state_dict())
        return [module.eval().requires_grad_(False)]


def _made(bundle: Bundle, preprocessor: Preprocessor) -> Any:
    outputs = outputs_of(bundle.signature.target)
    node, trust = bundle.info.model, bundle.trust
    try:
        return build_trusted(node, "model", trust, shape=preprocessor.shape, outputs=outputs)
    except BuildError as error:
        if isinstance(error.__cause__, TooManyError):
            raise error.__cause__ from error
        raise BundleError(f"bundle.json of {bundle.folder}: {error}") from error


def _estimator(bundle: Bundle, preprocessor: Preprocessor, files: dict[str, bytes]) -> Estimator:
    estimator = _made(bundle, preprocessor)
    target = bundle.info.model.target
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


def _model(
    bundle: Bundle, preprocessor: Preprocessor, device: torch.device
) -> nn.Module | Ensemble:
    room = _require_shapes(bundle, preprocessor)

    def make() -> nn.Module:
        with bounded(room):
            return _module(bundle, preprocessor)

    weights = {name: each.to(device) for name, each in bundle.weights().items()}
    try:
        if bundle.info.ensemble is not None:
            return Ensemble(make, weights, _probe(preprocessor.shape, device))
        model = make().to(device)
        model.load_state_dict(weights)
    except (RuntimeError, TooManyError) as error:
        raise _misfit(bundle, str(error)) from error
    return model.eval().requires_grad_(False)


def _module(bundle: Bundle, preprocessor: Preprocessor) -> nn.Module:
    """The model's module, with initial weights."""
    model = _made(bundle, preprocessor)
    if not isinstance(model, nn.Module):
        raise BundleError(
            f"{bundle.info.model.target} in bundle.json makes no torch.nn.Module",
            found=str(bundle.folder),
            remedy="Install the rayml, and the package of the model, that its lineage names",
        )
    materialise(model, preprocessor.shape)
    return model


def _require_shapes(bundle: Bundle, preprocessor: Preprocessor) -> Room:
    """Check that the weights have the shapes of the model, before either takes memory.

    Returns:
        The room that the model may take.

    Raises:
        BundleError: the shapes differ, or the model may not be built.
    """
    declared = bundle.shapes()
    room = Room.of(declared)
    try:
        own = outline(lambda: _module(bundle, preprocessor), room)
    except TooManyError as error:
        raise _misfit(bundle, str(error)) from error
    if own is None or own == declared:
        return room
    names = [name for name in {**own, **declared} if own.get(name) != declared.get(name)]
    told = "; ".join(
        f"{name[:100]}: the file has {declared.get(name)}, the model {own.get(name)}"
        for name in names[:3]
    )
    raise _misfit(bundle, f"{told}{f', and {len(names) - 3} more' if len(names) > 3 else ''}")


def _misfit(bundle: Bundle, why: str) -> BundleError:
    return BundleError(
        f"weights.safetensors does not fit the model of bundle.json ({why})",
        found=str(bundle.folder),
        remedy="Install the rayml, and the package of the model, that its lineage names",
    )


def _probe(shape: FeatureShape, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A few random rows for a model of this shape."""
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(8, shape.numeric, generator=generator)
    categorical = [torch.randint(n, (8,), generator=generator) for n in shape.cardinalities]
    codes = torch.stack(categorical, 1) if categorical else torch.zeros(8, 0, dtype=torch.int64)
    return numeric.to(device), codes.to(device)
