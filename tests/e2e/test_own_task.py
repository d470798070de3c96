"""A user's own kind of target, from a package of theirs and with no edit here."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.command import Rayml
from tests.tasks import count_task

FILES = {
    "shop/__init__.py": "",
    "shop/rows.py": """
import numpy as np
import pyarrow as pa
import ray.data

class Visits:
    def __init__(self, count):
        self.count = count

    def fingerprint(self):
        return f"visits {self.count}"

    def read(self):
        draw = np.random.default_rng(0)
        x = draw.normal(size=self.count)
        visits = draw.poisson(np.exp(1 + x)).astype(np.float64)
        return ray.data.from_arrow(pa.table({"x": x, "visits": visits}))
""",
    "shop/tasks.py": Path(count_task.__file__).read_text(encoding="utf-8"),
    # As pip lays out an installed package.
    "shop-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
    "shop-1.0.dist-info/entry_points.txt": "[rayml.tasks]\ncount = shop.tasks:CountTask\n",
    "conf/data/visits.yaml": """
name: visits
task: count
target: visits
source: {_target_: shop.rows.Visits, count: 600}
schema: {kinds: {visits: numeric}}
""",
}


def test_a_users_task_goes_from_rows_to_an_endpoint(tmp_path: Path, rayml: Rayml) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    done = rayml(
        tmp_path, "run", "data=visits", "--config-dir", "conf",
        "search.trials=3", "train.epochs=6", "serve=one", "name=visits",
    )  # fmt: skip
    assert "3 trials for the best deviance" in done.stdout
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP ")]
    (prediction,) = json.loads(answer.partition(": ")[2])["predictions"]
    # Of few rows in folds, whose models agree more or less.
    assert {"count"} <= set(prediction) <= {"count", "spread"}
    assert prediction["count"] > 0
    info = json.loads((tmp_path / "runs/registry/visits/versions/1/bundle.json").read_text())
    assert info["metric"] == "deviance"
