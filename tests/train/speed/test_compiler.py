"""What is needed to compile, and where the results are kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch

from rayml.train.speed.compiler import CompiledLosses, cache_folder, why_no_compiler

CPU = torch.device("cpu")


def nothing(*given: torch.Tensor) -> torch.Tensor:
    return given[0]


def test_any_known_compiler_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_no_compiler(CPU) == "there is no C++ compiler (g++ or clang++)"
    clang = tmp_path / "clang++"
    clang.touch()
    clang.chmod(0o755)
    assert why_no_compiler(CPU) is None
    monkeypatch.setenv("CXX", "icpx")
    assert why_no_compiler(CPU) == "there is no C++ compiler (icpx)"


def test_code_is_kept_in_a_private_folder_of_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Set and unset by monkeypatch, so that what the class sets does not outlive the test.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    CompiledLosses(nothing, CPU, "eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache_folder())
    assert cache_folder().is_relative_to(tmp_path)
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700
    # These caches would hold pickles.
    assert os.environ["TORCHINDUCTOR_FX_GRAPH_CACHE"] == "0"
    assert os.environ["TORCHINDUCTOR_AUTOGRAD_CACHE"] == "0"


def test_a_folder_that_the_user_has_set_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    CompiledLosses(nothing, CPU, "eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
