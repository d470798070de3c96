"""Bundles: the immutable artefacts that are served.

A bundle is a folder of plain files, with no pickle among them:

    manifest.json          size and SHA-256 of every other file
    manifest.sig           seal of the manifest, where the bundle is signed
    bundle.json            what it is: `BundleInfo`
    signature.json         columns in, predictions out: `Signature`
    lineage.json           where it comes from: `Lineage`
    intervals.json         calibration scores, where it answers with regions: `Intervals`
    weights.safetensors    parameters and buffers of a PyTorch module; of an ensemble those of its
                           members, each tensor with a first dimension of members
    members/0/             or the files of an estimator; of an ensemble those of each member
    groups/0/              or, of an ensemble of several structures, such weights or files of each
    preprocessor/          state of the fitted preprocessor, training profile of raw columns, and
                           in encoders/ each encoder of texts
    MODEL_CARD.md          the same for people
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.data.fit.preprocess import Preprocessor
from rayml.errors import BundleError, DataError
from rayml.registry.bundle.card import model_card
from rayml.registry.bundle.group import Group, GroupState, group_folder, write_group
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.intervals import Intervals
from rayml.registry.bundle.manifest import (
    FORMAT,
    FORMAT_OF_GROUPS,
    FORMAT_OF_MEMBERS,
    FORMAT_OF_RULES,
    FORMAT_OF_TEMPERATURE,
    FORMAT_OF_TEXTS,
    Manifest,
    read_manifest,
    read_verified,
    verified,
    write_manifest,
)
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.published import published
from rayml.registry.bundle.signature import Signature

T = TypeVar("T")

# Limits in bytes: a description takes some thousand, columns of many categories more.
_INTERVALS = "intervals.json"
_MOST_BYTES = {
    "bundle.json": 4 << 20,
    "lineage.json": 4 << 20,
    "signature.json": 64 << 20,
    _INTERVALS: 4 << 20,
}


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
        intervals: its calibration scores; None where it has none, as one of an older rayml.
    """

    folder: Path
    manifest: Manifest
    digest: str
    info: BundleInfo
    signature: Signature
    lineage: Lineage
    trust: Trust = ONLY_OWN
    intervals: Intervals | None = None

    def preprocessor(self) -> Preprocessor:
        """The fitted preprocessor, which also keeps the training profile of each raw column.

        Raises:
            BundleError: its files are torn, were altered since they were verified, or have
                other columns than the signature.
            ConfigError: it reads texts, and the package `tokenizers` is not installed.
        """
        try:
            fitted = Preprocessor.load(self.folder / "preprocessor", read=self._read)
            fitted.load_encoders()
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
    def groups(self) -> tuple[Group, ...]:
        """Its members by their structures."""
        info = self.info
        if not info.groups:
            return (Group(self.folder, self.manifest, "", info.model, info.ensemble),)
        return tuple(
            Group(self.folder, self.manifest, group_folder(at), each.model, len(each.votes))
            for at, each in enumerate(info.groups)
        )

    @property
    def votes(self) -> tuple[int, ...]:
        """How many times the prediction of each member counts; empty where each counts once."""
        return tuple(vote for each in self.info.groups for vote in each.votes)

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
    groups: Sequence[GroupState],
    intervals: Intervals | None = None,
) -> Path:
    """Write a bundle; it appears complete or not at all.

    Args:
        folder: where to write it; must not exist yet.
        info: content of `bundle.json`.
        signature: content of `signature.json`.
        lineage: content of `lineage.json`.
        preprocessor: fitted on the training split.
        groups: state of the members; one for each of `info.groups` where there are such.
        intervals: content of `intervals.json`; None writes none.

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
        if intervals is not None:
            _save_json(part / _INTERVALS, Intervals, intervals)
        card = model_card(info, published(signature), lineage, intervals)
        (part / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        preprocessor.save(part / "preprocessor")
        nodes = [each.model for each in info.groups] or [info.model]
        for at, (node, state) in enumerate(zip(nodes, groups, strict=True)):
            write_group(part / (group_folder(at) if info.groups else ""), node, state)
        write_manifest(part, _format(info, signature, groups))
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
    scored = _INTERVALS in manifest.files
    return Bundle(
        folder=folder,
        manifest=manifest,
        digest=digest,
        info=_load_json(folder, "bundle.json", manifest, BundleInfo),
        signature=_load_json(folder, "signature.json", manifest, Signature),
        lineage=_load_json(folder, "lineage.json", manifest, Lineage),
        trust=trust,
        intervals=_load_json(folder, _INTERVALS, manifest, Intervals) if scored else None,
    )


def read_info(folder: Path, trust: Trust = ONLY_OWN) -> BundleInfo:
    """What the bundle in a folder is, without checking its other files.

    Raises:
        BundleError: no trusted key has signed the bundle, or `bundle.json` cannot be read.
    """
    manifest, _ = read_manifest(folder, trust.signers)
    return _load_json(folder, "bundle.json", manifest, BundleInfo)


def _format(info: BundleInfo, signature: Signature, groups: Sequence[GroupState]) -> int:
    if any(column.kind == "text" for column in signature.inputs):
        return FORMAT_OF_TEXTS
    if info.decision_rule is not None:
        return FORMAT_OF_RULES
    if info.temperature != 1:
        return FORMAT_OF_TEMPERATURE
    if info.groups:
        return FORMAT_OF_GROUPS
    return FORMAT_OF_MEMBERS if groups[0].files else FORMAT


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
