"""The plain files of an estimator: their names, what they may not be, and their tensor form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rayml.errors import TrainError

if TYPE_CHECKING:
    from torch import Tensor

MOST_FILES = 16
"""Files of one estimator at most."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# How files begin whose usual readers may run code that they hold: a pickle of protocol 2 to 5,
# an archive as of torch.save, NumPy's .npy, compressed ones of any kind.
_FORBIDDEN: Mapping[bytes, str] = {
    **{bytes([0x80, protocol]): "a pickle" for protocol in range(2, 6)},
    b"PK\x03\x04": "a zip archive, as torch.save and numpy.savez write it",
    b"\x93NUMPY": "a .npy file, which may hold a pickle",
    b"\x1f\x8b": "compressed by gzip, which hides what it is",
}


def require_plain(owner: str, files: Mapping[str, bytes]) -> None:
    """Refuse files that no bundle may hold.

    Args:
        owner: name of the estimator, for messages.
        files: that it saved.

    Raises:
        TrainError: there is none, or too many; or one has an odd name, is not bytes, or is a
            pickle or an archive.
    """
    if not 0 < len(files) <= MOST_FILES:
        raise TrainError(
            f"{owner}.save gives {len(files)} files; an estimator has 1 to {MOST_FILES}",
            remedy="Put its state into fewer files, such as one of safetensors",
        )
    for name, content in files.items():
        if not _NAME.fullmatch(name):
            raise TrainError(
                f"{owner}.save gives a file the name {name!r}",
                remedy="Use letters, digits, '.', '_' and '-', beginning with a letter or a digit",
            )
        if not isinstance(content, bytes):
            raise TrainError(
                f"{owner}.save gives {name} as a {type(content).__name__}",
                remedy="Give the bytes of the file",
            )
        for start, what in _FORBIDDEN.items():
            if content.startswith(start):
                raise TrainError(
                    f"{owner}.save gives {name}, which is {what}",
                    remedy="Write JSON, text or safetensors",
                )


def as_tensors(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Files as uint8 tensors by name, which checkpoints hold beside other tensors."""
    import torch

    return {
        # A tensor of a copy, since bytes cannot be written to.
        name: torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if content
        else torch.zeros(0, dtype=torch.uint8)
        for name, content in files.items()
    }


def as_files(tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """The inverse of `as_tensors`."""
    return {name: each.cpu().numpy().tobytes() for name, each in tensors.items()}
