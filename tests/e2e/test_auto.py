"""A run with nothing but a file: families, budget and ensemble are chosen by the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from tests.e2e.command import Rayml


def test_a_file_alone_is_searched_selected_and_served(tmp_path: Path, rayml: Rayml) -> None:
    draw = np.random.default_rng(0)
    x, colour = draw.normal(size=300), draw.choice(["red", "blue", "green"], 300)
    y = 3 * x * (colour == "red") + draw.normal(scale=0.1, size=300)
    lines = [f"{a:.4f},{b},{c:.4f}" for a, b, c in zip(x, colour, y, strict=True)]
    (tmp_path / "shop.csv").write_text("\n".join(["x,colour,y", *lines]) + "\n")
    done = rayml(
        tmp_path, "run", "data=csv", "data.source.paths=shop.csv", "data.target=y",
        "data.task=regression", "name=shop", "search.name=shop", "search.seconds=25", "serve=one",
    )  # fmt: skip
    assert "space=auto: networks, networks of members, boosted trees" in done.stdout
    assert "space=auto: of 25 seconds" in done.stdout
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP 200")]
    assert json.loads(answer.partition(": ")[2])["predictions"]

    stored = yaml.safe_load((tmp_path / "runs/sweeps/shop/config.yaml").read_text())
    assert stored["search"]["trials"] is None
    assert stored["confirm"]["ensemble"] == "greedy"
    assert "confirm.seeds=0" in stored["auto"]["overrides"]
    info = json.loads((tmp_path / "runs/registry/shop/versions/1/bundle.json").read_text())
    # A constant answer has about 1.7.
    assert info["metrics"]["test"]["rmse"] < 1.2
    # A sweep that goes on keeps what was chosen, and the page says it.
    assert "space=auto" not in rayml(tmp_path, "sweep", "resume=shop").stdout
    rayml(tmp_path, "report", "shop")
    assert "What space=auto chose" in (tmp_path / "runs/sweeps/shop/report/index.html").read_text()
