"""Products of stacked matrices, on a CPU by the library that computes them fastest.

PyTorch multiplies float32 by MKL, which uses the AVX-512 of Intel's processors alone; on others
oneDNN takes half the time. PyTorch hands it float32 only where it may round to bfloat16
(https://docs.pytorch.org/docs/stable/backends.html), which oneDNN does on processors with AMX and
nowhere else (https://uxlfoundation.github.io/oneDNN/dev_guide_attributes_fpmath_mode.html).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# MKL is faster for smaller products, since a call of oneDNN takes 12 µs, and for vectors.
_MIN_PRODUCTS = 1_500_000
_MIN_SIDE = 8
# Of float32, relative to the largest; bfloat16 leaves 4e-3.
_TOLERANCE = 1e-5


def bmm(first: Tensor, second: Tensor) -> Tensor:
    """Product of [lanes, rows, inner] and [lanes, inner, columns]."""
    if _suits_onednn(first, second):
        return _by_onednn(lambda: torch.bmm(first, second))
    return torch.bmm(first, second)


def baddbmm(bias: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Product of stacked matrices as of `bmm`, plus a bias [lanes, 1, columns]."""
    if _suits_onednn(first, second):
        return _by_onednn(lambda: torch.baddbmm(bias, first, second))
    return torch.baddbmm(bias, first, second)


def _suits_onednn(first: Tensor, second: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False
    if first.device.type != "cpu" or first.dtype != torch.float32:
        return False
    lanes, rows, inner = first.shape
    columns = second.shape[-1]
    if lanes * rows * inner * columns < _MIN_PRODUCTS or min(rows, inner, columns) < _MIN_SIDE:
        return False
    return onednn_is_better()


@cache
def onednn_is_better() -> bool:
    """Whether this CPU has AVX-512 that MKL does not use, and oneDNN keeps float32 on it."""
    read = getattr(torch.cpu, "get_capabilities", None)  # since PyTorch 2.12
    if read is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities = read()
    if "Intel" in str(capabilities.get("cpu_name", "Intel")):
        return False
    if not capabilities.get("avx512_f", False) or capabilities.get("amx_tile", True):
        return False
    return _is_float32()


def _is_float32() -> bool:
    """Whether oneDNN keeps float32 though it may round to bfloat16."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 64, 64, generator=generator) for _ in range(2))
    wanted = torch.bmm(first.double(), second.double())
    found = _by_onednn(lambda: torch.bmm(first, second))
    return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.max())


def _by_onednn(product: Callable[[], Tensor]) -> Tensor:
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        return product()
    finally:
        matmul.fp32_precision = before
