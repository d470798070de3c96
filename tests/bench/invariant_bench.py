"""What `serve.batch_invariant` costs, in turns, and by how much answers differ without it.

    python tests/bench/invariant_bench.py

One thread, random features, no requests: what a forward pass and its decoding take with and
without the option, by the size of the batch; then the greatest difference between two predictions
of one row in batches of random sizes and neighbours, over models trained for a while.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.serve.predict.predictor import Predictor
from rayml.tasks.table import build_task
from rayml.testing.bundles import untrained_bundle
from rayml.types import Features, FeatureShape, TargetInfo, TaskName

MODELS: dict[str, tuple[dict[str, Any], int | None]] = {
    "MLP 2 x 128": ({"_target_": "rayml.models.nets.mlp.MLP"}, None),
    "MLP 3 x 256": ({"_target_": "rayml.models.nets.mlp.MLP", "width": 256, "depth": 3}, None),
    "ResNet 2 x 128": ({"_target_": "rayml.models.nets.resnet.TabularResNet"}, None),
    "5 of MLP 2 x 128": ({"_target_": "rayml.models.nets.mlp.MLP"}, 5),
}
BATCHES = (1, 4, 16, 64, 256, 1000)
ROUNDS = 41
BATCHES_DRAWN = 100
SHAPE = FeatureShape(20, (8, 30, 5))


def table(rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    numbers = {f"x{place}": rng.standard_normal(rows) for place in range(20)}
    codes = {f"c{n}": [f"k{i}" for i in rng.integers(n, size=rows)] for n in (8, 30, 5)}
    return pa.table({**numbers, **codes, "y": rng.choice(["no", "yes"], rows)})


def costs(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for name, (model, members) in MODELS.items():
        path = folder / name.replace(" ", "-")
        untrained_bundle(path, table(), target="y", task="binary", model=model, ensemble=members)
        start = time.perf_counter()
        exact = Predictor.load(path, batch_invariant=True)
        loaded = time.perf_counter() - start
        usual = Predictor.load(path)
        print(f"{name}: tiles {exact._forward.sizes}, loaded in {loaded:.2f} s")
        for size in BATCHES:
            codes = np.stack([rng.integers(n, size=size) for n in usual.shape.cardinalities], 1)
            numeric = rng.standard_normal((size, usual.shape.numeric)).astype(np.float32)
            features = Features(numeric, codes)
            pairs = [
                (timed(usual.estimate, features), timed(exact.estimate, features))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(with_it / without for without, with_it in pairs)
            without, with_it = (statistics.median(each) for each in zip(*pairs, strict=True))
            print(f"  {size:5} rows: {without:7.0f} µs, {with_it:7.0f} µs with it, {ratio:.2f}")


def timed(work: Callable[[Features], object], features: Features, repeats: int = 5) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work(features)
    return (time.perf_counter() - start) / repeats * 1e6


def differences() -> None:
    rng = torch.Generator().manual_seed(0)
    numeric = torch.randn(2000, SHAPE.numeric, generator=rng)
    codes = torch.stack([torch.randint(n, (2000,), generator=rng) for n in SHAPE.cardinalities], 1)
    signal = (numeric[:, :4].sum(1) + numeric[:, 5] * numeric[:, 6] + codes[:, 0]) / 2
    tasks: list[tuple[TaskName, int]] = [("binary", 1), ("multiclass", 4)]
    for task, outputs in tasks:
        edges = torch.tensor([1.75] if outputs == 1 else [0.5, 1.75, 3.0])
        target = torch.bucketize(signal, edges)
        info = TargetInfo(name="y", task=task, classes=tuple(range(max(2, outputs))))
        for kind in (MLP, TabularResNet):
            for width, depth in ((128, 2), (512, 4)):
                torch.manual_seed(0)
                model = kind(SHAPE, outputs, width=width, depth=depth)
                decide = build_task(info)
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
                for _ in range(60):
                    optimizer.zero_grad()
                    decide.loss(model(numeric, codes), target).backward()
                    optimizer.step()
                forward = model.eval().requires_grad_(False).folded()
                found = difference(
                    lambda n, c, f=forward, d=decide: d.predict(f(n, c)), numeric, codes
                )
                name = f"{task} {kind.__name__} {depth} x {width}"
                print(f"{name}: {found[0]:.1e}, {found[1]:.0%} differ")


@torch.inference_mode()
def difference(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    numeric: torch.Tensor,
    codes: torch.Tensor,
) -> tuple[float, float]:
    """The greatest difference, and the share of the answers that differ at all."""
    rng = np.random.default_rng(0)
    alone = torch.cat([predict(numeric[i : i + 1], codes[i : i + 1]) for i in range(len(numeric))])
    most, differ, answers = 0.0, 0, 0
    for _ in range(BATCHES_DRAWN):
        rows = torch.from_numpy(rng.integers(len(numeric), size=rng.integers(1, 257)))
        gap = (predict(numeric[rows], codes[rows]) - alone[rows]).abs().reshape(len(rows), -1)
        most = max(most, float(gap.max()))
        differ += int((gap.amax(1) > 0).sum())
        answers += len(rows)
    return most, differ / answers


if __name__ == "__main__":
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        costs(Path(temporary))
    differences()
