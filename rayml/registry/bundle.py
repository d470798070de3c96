"""Bundles: the immutable artefacts that are served.

A bundle is a folder of plain files, with no pickle among them:

    manifest.json          size and SHA-256 of every other file
    bundle.json            what it is: `BundleInfo`
    signature.json         columns in, predictions out: `Signature`
    lineage.json           where it comes from: `Lineage`
    weights.safetensors    the model's parameters and buffers; of an ensemble those of its members,
                           each tensor with a first dimension of members
    preprocessor/          state of the fitted preprocessor, training profile of raw columns
    MODEL_CARD.md          all that for people
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from rayml import __version__
from rayml.data.preprocess import Preprocessor
from rayml.errors import BundleError
from rayml.registry.card import model_card
from rayml.registry.lineage import Lineage
from rayml.registry.manifest import verify, write_manifest
from rayml.registry.promotion import Decision
from rayml.registry.published import published
from rayml.registry.signature import Signature
from rayml.types import Count, Direction, settings

if TYPE_CHECKING:
    import torch

Metrics = Mapping[str, Annotated[float | None, Field(allow_inf_nan=True)]]
T = TypeVar("T")


@settings
class ConfirmedMetric:
    """What the configuration of a bundle is worth, over several trainings.

    Attributes:
        seeds: number of trainings.
        mean: of the bundle's metric on validation.
        low: lower end of the mean's 95 % bootstrap interval.
        high: upper end.
    """

    seeds: Count
    mean: float
    low: float
    high: float


@settings
class BundleInfo:
    """What a bundle is.

    Attributes:
        name: of the model in the registry.
        model: component node of the `torch.nn.Module`.
        metric: name of the metric that chose it.
        direction: whether more or less of it is better.
        metrics: by split, then by name; of an ensemble those of its members' mean.
        ensemble: number of members; None where one model predicts.
        confirmed: over several seeds; None where the sweep's winner was not confirmed.
        decision: whether it was to become champion, and why; None where nothing was decided.
        created: time in UTC, ISO 8601.
        rayml: version that wrote it.
    """

    name: str
    model: Mapping[str, Any]
    metric: str
    direction: Direction
    metrics: Mapping[Literal["validation", "test"], Metrics]
    ensemble: Annotated[int, Field(ge=2)] | None = None
    confirmed: ConfirmedMetric | None = None
    decision: Decision | None = None
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    rayml: str = __version__


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, its large parts still on the disk."""

    folder: Path
    digest: str
    info: BundleInfo
    signature: Signature
    lineage: Lineage

    def preprocessor(self) -> Preprocessor:
        """The fitted preprocessor, which also keeps the training profile of each raw column."""
        return Preprocessor.load(self.folder / "preprocessor")

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's parameters and buffers by name, on the CPU; stacked where it is an ensemble.

        Raises:
            BundleError: those of an ensemble are not stacked over its members.
        """
        from safetensors.torch import load_file

        weights = load_file(self.folder / "weights.safetensors")
        members = self.info.ensemble
        for name, each in weights.items():
            if members is not None and (each.dim() == 0 or len(each) != members):
                raise BundleError(
                    f"the weights of an ensemble have a first dimension of {members} members",
                    value=f"{name} {tuple(each.shape)}",
                    remedy="Register the model again",
                )
        return weights


def write_bundle(
    folder: Path,
    *,
    info: BundleInfo,
    signature: Signature,
    lineage: Lineage,
    preprocessor: Preprocessor,
    weights: Mapping[str, torch.Tensor],
) -> Path:
    """Write a bundle; it appears complete or not at all.

    Args:
        folder: where it will lie; must not exist yet.
        info: what it is.
        signature: its columns.
        lineage: where it comes from.
        preprocessor: fitted on the training split.
        weights: the model's `state_dict`; of an ensemble see `rayml.models.ensemble`.

    Raises:
        BundleError: the folder exists.
    """
    if folder.exists():
        raise BundleError(
            "a bundle is written once", value=str(folder), remedy="Choose another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as temporary:
        part = Path(temporary) / "bundle"
        part.mkdir()
        _save_json(part / "bundle.json", BundleInfo, info)
        _save_json(part / "signature.json", Signature, signature)
        _save_json(part / "lineage.json", Lineage, lineage)
        card = model_card(info, published(signature), lineage)
        (part / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        preprocessor.save(part / "preprocessor")
        _save_weights(part / "weights.safetensors", weights)
        write_manifest(part)
        part.rename(folder)
    return folder


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle after checking the size and hash of every file.

    Raises:
        BundleError: a file is missing, extra, altered, a link or unreadable, or the bundle was
            written by a newer rayml. The message names the file.
    """
    digest = verify(folder)
    return Bundle(
        folder=folder,
        digest=digest,
        info=read_info(folder),
        signature=_load_json(folder / "signature.json", Signature),
        lineage=_load_json(folder / "lineage.json", Lineage),
    )


def read_info(folder: Path) -> BundleInfo:
    """What the bundle in a folder is, without checking its other files.

    Raises:
        BundleError: the folder holds no readable `bundle.json`.
    """
    return _load_json(folder / "bundle.json", BundleInfo)


def _save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path)


def _save_json(path: Path, kind: type[T], value: T) -> None:
    # Numbers that are no JSON (a metric may be NaN) become null.
    path.write_bytes(TypeAdapter(kind).dump_json(value, indent=1) + b"\n")


def _load_json(path: Path, kind: type[T]) -> T:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(
            f"{path.name} of a bundle must be readable ({type(error).__name__})",
            value=str(path),
            remedy="Copy the bundle again from where it was written",
        ) from error
