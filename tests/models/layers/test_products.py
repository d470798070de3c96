"""Products of stacked matrices are those of float32, whichever library computes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rayml.models.layers import products

SHAPES = [(16, 64, 110, 64), (4, 128, 128, 128), (64, 64, 64, 8), (2, 300, 17, 257)]


@pytest.fixture(params=[True, False], ids=["onednn", "mkl"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(products, "onednn_is_better", lambda: request.param)
    if request.param and not products._is_float32():
        pytest.skip("oneDNN rounds to bfloat16 on this processor")


def _operands(shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    lanes, rows, inner, columns = shape
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(lanes, rows, inner, generator=generator)
    second = torch.randn(lanes, columns, inner, generator=generator).mT
    return first, second, torch.randn(lanes, 1, columns, generator=generator)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_that_of_float32(shape: tuple[int, int, int, int]) -> None:
    first, second, bias = _operands(shape)
    wanted = first.double() @ second.double()
    torch.testing.assert_close(products.bmm(first, second).double(), wanted, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(
        products.baddbmm(bias, first, second).double(), wanted + bias, rtol=1e-5, atol=1e-4
    )


def test_other_products_keep_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "onednn_is_better", lambda: True)
    before = torch.backends.mkldnn.matmul.fp32_precision
    first, second, _ = _operands(SHAPES[0])
    products.bmm(first, second)
    with pytest.raises(RuntimeError):
        products.bmm(first, first)
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.parametrize(
    ("capabilities", "better"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": False, "amx_tile": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": True}, False),
        ({"cpu_name": "Intel Xeon Processor", "avx512_f": True, "amx_tile": False}, False),
        ({}, False),
    ],
)
def test_onednn_is_asked_where_mkl_leaves_avx512_aside(
    capabilities: dict[str, object], better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(products, "_is_float32", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert products.onednn_is_better.__wrapped__() is better


def test_a_processor_that_rounds_to_bfloat16_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(_: Callable[[], Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        first, second = (torch.rand(2, 64, 64, generator=generator) for _ in range(2))
        return torch.bmm(first.bfloat16(), second.bfloat16()).float()

    monkeypatch.setattr(products, "_by_onednn", lambda product: product())
    assert products._is_float32()
    monkeypatch.setattr(products, "_by_onednn", rounded)
    assert not products._is_float32()


def test_small_products_and_those_with_a_vector_go_to_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def by_onednn(product: Callable[[], Tensor]) -> Tensor:
        found = product()
        asked.append(tuple(found.shape))
        return found

    monkeypatch.setattr(products, "onednn_is_better", lambda: True)
    monkeypatch.setattr(products, "_by_onednn", by_onednn)
    for shape in [(16, 64, 64, 64), (1, 64, 64, 64), (64, 256, 256, 1)]:
        first, second, _ = _operands(shape)
        products.bmm(first, second)
    assert asked == [(16, 64, 64)]
