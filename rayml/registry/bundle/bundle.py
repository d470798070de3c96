"""Bundles: the immutable artefacts that are served.

A bundle is a folder of plain files, with no pickle among them:

    manifest.json          size and SHA-256 of every other file
    manifest.sig           seal of the manifest, where the bundle is signed
    bundle.json            what it is: `BundleInfo`
    signature.json         columns in, predictions out: `Signature`
    lineage.json           where it comes from: `Lineage`
    weights.safetensors    parameters and buffers of a PyTorch module; of an ensemble those of its
                           members, each tensor with a first dimension of members
    members/0/             or the files of an estimator; of an ensemble those of each member
    preprocessor/          state of the fitted preprocessor, training profile of raw columns
    MODEL_CARD.md          the same for people
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BundleError, DataError
from rayml.registry.bundle.card import model_card
from rayml.registry.bundle.info import BundleInfo
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

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Limits in bytes: a description takes some thousand, columns of many categories more.
_MOST_BYTES = {"bundle.json": 4 << 20, "lineage.json": 4 << 20, "signature.json": 64 << 20}
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle; its large parts stay on the disk and are verified again when read.

    Attributes:
        folder: where it lies.
        manifest: size and SHA-256 of each file.
        digest: SHA-256 of the manifest, in hex; it identifies the content of the whole bundle.
        info: what it is.
        signature: its columns.
        lineage: where it comes from.
        trust: whose code its model may name.
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
            BundleError: its files are torn, were altered since they were verified, or have
                other columns than the signature.
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
                "signature.json and preprocessor/preprocessor.json name different columns",
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
                    f"{name} of shape {list(shape)} in {_WEIGHTS} has no first dimension of"
                    f" {members} members",
                    remedy="Register the ensemble again",
                )
        return {name: shape[1:] for name, shape in shapes.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's parameters and buffers by name, on the CPU; stacked where it is an ensemble.

        Raises:
            BundleError: the file is torn, declares more than it holds, or was altered since it
                was verified; or the weights of an ensemble are not stacked over its members.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        self.shapes()
        path = self.folder / _WEIGHTS
        record = self.manifest.files.get(_WEIGHTS)
        try:
            # Read, not mapped into memory: a mapped file could still change.
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
        folder: where to write it; must not exist yet.
        info: content of `bundle.json`.
        signature: content of `signature.json`.
        lineage: content of `lineage.json`.
        preprocessor: fitted on the training split.
        weights: the `state_dict` of a module; of an ensemble see `rayml.models.ensemble`.
        files: of estimators instead, member by member.

    Raises:
        BundleError: the folder exists.
        TrainError: a file of an estimator is no plain one.
    """
    if folder.exists():
        raise BundleError(
            f"{folder} already exists, and a bundle is written once",
            remedy="Choose another folder",
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
    """Open a bundle after checking its seal, and the size and hash of every file.

    Args:
        folder: folder of the bundle.
        trust: whose code its model may name, and whose keys must have signed it.

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
        BundleError: no trusted key has signed the bundle, or `bundle.json` cannot be read.
    """
    manifest, _ = read_manifest(folder, trust.signers)
    return _load_json(folder, "bundle.json", manifest, BundleInfo)


def _save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path)


def _save_json(path: Path, kind: type[T], value: T) -> None:
    # JSON has no NaN, which a metric may be; it becomes null.
    path.write_bytes(TypeAdapter(kind).dump_json(value, indent=1) + b"\n")


def _load_json(folder: Path, name: str, manifest: Manifest, kind: type[T]) -> T:
    content = read_verified(folder, name, manifest, _MOST_BYTES[name])
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"{each}." for each in first["loc"]).rstrip(".")
        raise BundleError(
            f"{name} of the bundle cannot be read ({place + ': ' if place else ''}{first['msg']})",
            found=str(folder / name),
            remedy="Copy the bundle again from where it was written",
        ) from error
