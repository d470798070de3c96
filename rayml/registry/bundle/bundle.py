"""Bundles: the immutable artefacts that are served.

A bundle is a folder of plain files, with no pickle among them:

    manifest.json          size and SHA-256 of every other file
    manifest.sig           signature of the manifest, if there is one
    bundle.json            what it is: `BundleInfo`
    signature.json         columns in, predictions out: `Signature`
    lineage.json           where it comes from: `Lineage`
    weights.safetensors    parameters and buffers of a PyTorch module; of an ensemble those of its
                           members, each tensor with a first dimension of members
    members/0/             or the files of an estimator; of an ensemble those of each member
    preprocessor/          state of the fitted preprocessor, training profile of raw columns
    MODEL_CARD.md          all that for people
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from rayml import __version__
from rayml.config.components.stored_node import NodeField
from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BundleError, DataError
from rayml.registry.bundle.card import model_card
from rayml.registry.bundle.manifest import (
    FORMAT,
    FORMAT_OF_MEMBERS,
    Manifest,
    read_manifest,
    read_verified,
    verified,
    write_manifest,
)
from rayml.registry.bundle.members import read_members, write_members
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.published import published
from rayml.registry.bundle.signature import Signature
from rayml.registry.bundle.weights import Shape, read_shapes
from rayml.registry.promotion import Decision
from rayml.types import Count, Direction, settings

if TYPE_CHECKING:
    import torch

Metrics = Mapping[str, Annotated[float | None, Field(allow_inf_nan=True)]]
T = TypeVar("T")

MOST_MEMBERS = 1000
# What a model's description takes, in bytes, and what its columns do.
_MOST_BYTES = {"bundle.json": 4 << 20, "lineage.json": 4 << 20, "signature.json": 64 << 20}
_WEIGHTS = "weights.safetensors"


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
        model: component of the module or the estimator, which nobody has said may be built.
        metric: name of the metric that chose it.
        direction: whether more or less of it is better.
        metrics: by split, then by name; of an ensemble those of its members' mean.
        ensemble: number of members, `MOST_MEMBERS` at most; None where one model predicts.
        confirmed: over several seeds; None where the sweep's winner was not confirmed.
        decision: whether it was to become champion, and why; None where nothing was decided.
        created: time in UTC, ISO 8601.
        rayml: version that wrote it.
    """

    name: str
    model: NodeField
    metric: str
    direction: Direction
    metrics: Mapping[Literal["validation", "test"], Metrics]
    ensemble: Annotated[int, Field(ge=2, le=MOST_MEMBERS)] | None = None
    confirmed: ConfirmedMetric | None = None
    decision: Decision | None = None
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    rayml: str = __version__


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, its large parts still on the disk, and verified again as they are read.

    Attributes:
        folder: where it lies.
        manifest: what its files must be.
        digest: SHA-256 of its manifest, which stands for all of it.
        info: what it is.
        signature: its columns.
        lineage: where it comes from.
        trust: with which it was opened, and its model is built.
    """

    folder: Path
    manifest: Manifest
    digest: str
    info: BundleInfo
    signature: Signature
    lineage: Lineage
    trust: Trust = ONLY_OWN

    def preprocessor(self) -> Preprocessor:
        """The fitted preprocessor, which also keeps the training profile of each raw column.

        Raises:
            BundleError: its files are not what a preprocessor writes, of other columns than the
                signature's, or not those that were verified.
        """
        try:
            fitted = Preprocessor.load(self.folder / "preprocessor", read=self._read)
        except DataError as error:
            raise BundleError(f"preprocessor/ of the bundle cannot be used: {error}") from error
        mine = [(column.name, column.kind) for column in self.signature.inputs]
        if mine != [(each.name, each.kind) for each in fitted.schema.columns] or (
            fitted.target != self.signature.target
        ):
            raise BundleError(
                "signature.json and preprocessor/preprocessor.json are of different columns",
                found=str(self.folder),
                remedy="Copy the bundle again from where it was written",
            )
        return fitted

    @property
    def holds_estimators(self) -> bool:
        """Whether its members are estimators, which have files and no weights."""
        return _WEIGHTS not in self.manifest.files

    def members(self) -> list[dict[str, bytes]]:
        """Files of its estimators by name, member by member.

        Raises:
            BundleError: they are not those of its members, or not those that were verified.
        """
        return read_members(self.folder, self.manifest, self.info.ensemble or 1)

    def shapes(self) -> dict[str, Shape]:
        """Shapes of the model's parameters and buffers by name, of an ensemble those of a member.

        Only the header of the weights is read.

        Raises:
            BundleError: the weights declare more than their file holds, or those of an ensemble
                are not stacked over its members.
        """
        shapes = read_shapes(self.folder / _WEIGHTS)
        members = self.info.ensemble
        if members is None:
            return shapes
        for name, shape in shapes.items():
            if not shape or shape[0] != members:
                raise BundleError(
                    f"the weights of an ensemble have a first dimension of {members} members",
                    found=f"{name} {shape}",
                    remedy="Register the model again",
                )
        return {name: shape[1:] for name, shape in shapes.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's parameters and buffers by name, on the CPU; stacked where it is an ensemble.

        Raises:
            BundleError: the file is torn, declares more than it holds, or is not the one that was
                verified; or the weights of an ensemble are not stacked over its members.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        self.shapes()
        path = self.folder / _WEIGHTS
        record = self.manifest.files.get(_WEIGHTS)
        try:
            # Not mapped into memory, where the file could still be changed.
            return load(self._read(path, 0 if record is None else record.size))
        except SafetensorError as error:
            raise BundleError(
                f"{_WEIGHTS} of the bundle cannot be read ({error})",
                found=str(path),
                remedy="Copy the bundle again from where it was written",
            ) from error

    def _read(self, path: Path, most: int) -> bytes:
        name = path.relative_to(self.folder).as_posix()
        return read_verified(self.folder, name, self.manifest, most)


def write_bundle(
    folder: Path,
    *,
    info: BundleInfo,
    signature: Signature,
    lineage: Lineage,
    preprocessor: Preprocessor,
    weights: Mapping[str, torch.Tensor] | None = None,
    files: Sequence[Mapping[str, bytes]] = (),
) -> Path:
    """Write a bundle; it appears complete or not at all.

    Args:
        folder: where it will lie; must not exist yet.
        info: what it is.
        signature: its columns.
        lineage: where it comes from.
        preprocessor: fitted on the training split.
        weights: the `state_dict` of a module; of an ensemble see `rayml.models.ensemble`.
        files: of estimators instead, member by member.

    Raises:
        BundleError: the folder exists.
        TrainError: a file of an estimator is no plain one.
    """
    if folder.exists():
        raise BundleError(
            "a bundle is written once", found=str(folder), remedy="Choose another folder"
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
        if weights is not None:
            _save_weights(part / _WEIGHTS, weights)
        write_members(part, info.model.target.rpartition(".")[2], files)
        write_manifest(part, FORMAT_OF_MEMBERS if files else FORMAT)
        part.rename(folder)
    return folder


def load_bundle(folder: Path, trust: Trust = ONLY_OWN) -> Bundle:
    """Open a bundle after checking its signature, and the size and hash of every file.

    Args:
        folder: of the bundle.
        trust: whose code its model may name, and whose signature it needs.

    Raises:
        BundleError: a file is missing, extra, altered, a link or unreadable, or the bundle was
            written by a newer rayml. The message names the file.
    """
    manifest, digest = verified(folder, trust.signers)
    return Bundle(
        folder=folder,
        manifest=manifest,
        digest=digest,
        info=_load_json(folder, "bundle.json", manifest, BundleInfo),
        signature=_load_json(folder, "signature.json", manifest, Signature),
        lineage=_load_json(folder, "lineage.json", manifest, Lineage),
        trust=trust,
    )


def read_info(folder: Path, trust: Trust = ONLY_OWN) -> BundleInfo:
    """What the bundle in a folder is, without checking its other files.

    Raises:
        BundleError: the signature that is asked for is absent or another's, or the folder holds no
            readable `bundle.json`.
    """
    manifest, _ = read_manifest(folder, trust.signers)
    return _load_json(folder, "bundle.json", manifest, BundleInfo)


def _save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path)


def _save_json(path: Path, kind: type[T], value: T) -> None:
    # Numbers that are no JSON (a metric may be NaN) become null.
    path.write_bytes(TypeAdapter(kind).dump_json(value, indent=1) + b"\n")


def _load_json(folder: Path, name: str, manifest: Manifest, kind: type[T]) -> T:
    content = read_verified(folder, name, manifest, _MOST_BYTES[name])
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{name} of the bundle cannot be read: {place or 'it'}: {first['msg']}",
            found=str(folder / name),
            remedy="Copy the bundle again from where it was written",
        ) from error
