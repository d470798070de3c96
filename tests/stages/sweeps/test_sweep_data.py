"""The data of a sweep are its own again, or it is said why they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rayml.errors import DataError
from rayml.stages.sweeps.sweep_data import _identity, _why_others, data_of_sweep
from rayml.types import FeatureShape


def data(**changes: Any) -> Any:
    shape = changes.pop("shape", FeatureShape(3, (4, 5)))
    found = {"source": "s", "rows": {"train": 6}, "hash": "h"} | changes
    return SimpleNamespace(preprocessor=SimpleNamespace(shape=shape), **found)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (data(), ""),
        # A newer rayml may give the same data another hash.
        (data(hash="g"), ""),
        (data(source="t"), "the source has changed"),
        (data(rows={"train": 5}), "an older rayml chose features and splits by other rules"),
        (data(shape=FeatureShape(2, (4, 5))), "an older rayml chose features and splits by"),
    ],
)
def test_what_differs_is_told(made: Any, reason: str) -> None:
    found = _why_others({"is": _identity(data())}, made, Path("/store/h"))
    assert found == reason or (reason and found.startswith(reason))


@pytest.mark.parametrize("same", [True, False])
def test_the_data_of_a_sweep_of_an_older_rayml_are_known_by_their_hash(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.json").write_text(json.dumps({"path": "/store/h"}))
    made = data(hash="h" if same else "g", path=tmp_path, advice=lambda: ())
    config = SimpleNamespace(
        trusted=lambda _: SimpleNamespace(typed=lambda: SimpleNamespace(data=0))
    )
    monkeypatch.setattr("rayml.stages.sweeps.sweep_data.config_of_sweep", lambda _: config)
    monkeypatch.setattr("rayml.stages.sweeps.sweep_data.prepare_config", lambda *_, **__: made)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    context: Any = SimpleNamespace(trust=None)
    if same:
        assert data_of_sweep(context, tmp_path) is made
        return
    with pytest.raises(DataError, match=r"changed, or an older rayml chose .*Restore the source"):
        data_of_sweep(context, tmp_path)
