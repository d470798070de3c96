"""Checkpoints: tensors and JSON in one safetensors file that is whole or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save as serialize
from torch import Tensor

from rayml.errors import CheckpointError
from rayml.storage.disk import make_folder, write

FILE = "checkpoint.safetensors"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: by name, on the CPU.
        state: everything else, as JSON has it.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, in place of an older one in the same folder.

    The file appears under its name when it is complete. It is not flushed to the disk, which
    could take longer than the epoch that it saves: after a power cut it may be torn, which the
    checksum shows; the death of a process cannot tear it.

    Args:
        folder: made if absent; it has one writer at a time.
        checkpoint: what to write; floats must be finite.

    Raises:
        StorageError: the disk does not take it; an older one stays.
    """
    make_folder(folder)
    # Tensors that are views of one flat tensor would each be written with all of it.
    tensors = {name: each.detach().cpu().clone() for name, each in checkpoint.tensors.items()}
    state = json.dumps(checkpoint.state, allow_nan=False)
    header = {"version": str(VERSION), "state": state, "sha256": _digest(tensors, state)}
    write(folder / FILE, serialize(tensors, header))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is absent, torn, or of another version of the format.
    """
    path = folder / FILE
    try:
        # Without mmap: the file may be replaced while its tensors are in use.
        with safetensors.safe_open(path, framework="pt") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    except FileNotFoundError as error:
        raise CheckpointError("there is no checkpoint", found=str(path)) from error
    except safetensors.SafetensorError as error:
        raise _torn(path, str(error)) from error
    if header.get("version") != str(VERSION):
        raise CheckpointError(
            f"the checkpoint has format version {header.get('version')}, and this rayml reads"
            f" {VERSION}",
            found=str(path),
            remedy="Train again, or use the rayml that wrote it",
        )
    if header["sha256"] != _digest(tensors, header["state"]):
        raise _torn(path, "its checksum differs")
    return Checkpoint(tensors, json.loads(header["state"]))


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with a prefix before their names, so that several sets fit in a checkpoint."""
    return {prefix + name: each for name, each in tensors.items()}


def within(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The set that `under` put in a checkpoint."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _torn(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is damaged ({why})", found=str(path), remedy="Remove it and train again"
    )


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
