"""What the weights of a bundle declare, checked before any tensor is read."""

from __future__ import annotations

import os
from pathlib import Path

from rayml.errors import BundleError
from rayml.storage.safetensors_header import Shape, TornTensorsError, tensor_shapes


def read_shapes(path: Path) -> dict[str, Shape]:
    """The shapes of the tensors of a file by name.

    Raises:
        BundleError: the file is torn, or declares more than it holds.
    """
    try:
        with path.open("rb") as content:
            return tensor_shapes(content, os.fstat(content.fileno()).st_size)
    except TornTensorsError as error:
        raise _refused(path, str(error)) from error
    except OSError as error:
        raise _refused(path, f"its header cannot be read ({error})") from error


def _refused(path: Path, why: str) -> BundleError:
    return BundleError(
        f"{path.name} cannot be read: {why}",
        found=str(path),
        remedy="Copy the bundle again from where it was written",
    )
