"""The members of one structure in a bundle: stacked weights of modules, or files of estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rayml.config.components.stored_node import StoredNode
from rayml.errors import BundleError
from rayml.registry.bundle.manifest import Manifest, read_verified
from rayml.registry.bundle.members import read_members, write_members
from rayml.registry.bundle.weights import read_shapes
from rayml.storage.safetensors_header import Shape

if TYPE_CHECKING:
    import torch

_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class GroupState:
    """The state of the members of a group, as it is written.

    Attributes:
        weights: the `state_dict` of a module; of an ensemble see `rayml.models.ensemble`. None of
            estimators.
        files: of estimators, member by member.
    """

    weights: Mapping[str, torch.Tensor] | None = None
    files: Sequence[Mapping[str, bytes]] = ()


@dataclass(frozen=True)
class Group:
    """The members of one structure; they stay on the disk and are verified again when read.

    Attributes:
        bundle: folder of the bundle.
        manifest: of the bundle.
        folder: of the group within the bundle, with a slash at its end; empty for the only one.
        model: component of the module or the estimator.
        members: their number; None for a model that is not stacked.
    """

    bundle: Path
    manifest: Manifest
    folder: str
    model: StoredNode
    members: int | None

    @property
    def holds_estimators(self) -> bool:
        """Whether the members are estimators, which have files and no weights."""
        return f"{self.folder}{_WEIGHTS}" not in self.manifest.files

    def files(self) -> list[dict[str, bytes]]:
        """Files of the estimators by name, member by member.

        Raises:
            BundleError: they are not those of the members, or not those that were verified.
        """
        return read_members(self.bundle, self.manifest, self.members or 1, group=self.folder)

    def shapes(self) -> dict[str, Shape]:
        """Shapes of a member's parameters and buffers by name.

        Only the header of the weights is read.

        Raises:
            BundleError: the weights declare more than their file holds, or those of several are
                not stacked over the members.
        """
        shapes = read_shapes(self.bundle / self.folder / _WEIGHTS)
        if self.members is None:
            return shapes
        for name, shape in shapes.items():
            if not shape or shape[0] != self.members:
                raise BundleError(
                    f"{name} of shape {list(shape)} in {self.folder}{_WEIGHTS} has no first"
                    f" dimension of {self.members} members",
                    remedy="Register the ensemble again",
                )
        return {name: shape[1:] for name, shape in shapes.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers by name, on the CPU; stacked unless `members` is None.

        Raises:
            BundleError: the file is torn, declares more than it holds, or was altered since it
                was verified; or the weights are not stacked over the members.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        self.shapes()
        path = f"{self.folder}{_WEIGHTS}"
        record = self.manifest.files.get(path)
        most = 0 if record is None else record.size
        try:
            # Read, not mapped into memory: a mapped file could still change.
            return load(read_verified(self.bundle, path, self.manifest, most))
        except SafetensorError as error:
            raise BundleError(
                f"{path} of the bundle cannot be read ({error})",
                found=str(self.bundle / path),
                remedy="Copy the bundle again from where it was written",
            ) from error


def group_folder(at: int) -> str:
    """Folder of a group within its bundle, where there are several."""
    return f"groups/{at}/"


def write_group(folder: Path, node: StoredNode, state: GroupState) -> None:
    """Write the members of a group.

    Args:
        folder: of the group.
        node: component of its model.
        state: of its members.

    Raises:
        TrainError: a file of an estimator is no plain one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if state.weights is not None:
        _save_weights(folder / _WEIGHTS, state.weights)
    write_members(folder, node.target.rpartition(".")[2], state.files)


def _save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path)
