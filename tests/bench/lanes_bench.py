"""Lane-steps a second of a cohort, beside one model in a tuned loop.

    python tests/bench/lanes_bench.py [--lanes 1 2 4 8 16 32 64] [--device cpu] [--rounds 3]

The peer is a plain loop over one model with PyTorch's fused AdamW; rayml's own loop for one model
is the second line. All sides train the same shapes on rows of Adult's (6 numbers, 8 categories), on
a CPU with one thread, and take turns. The best of the rounds counts: the others were disturbed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.loop import TrainingLoop
from rayml.train.speed.probe import measure_lanes
from rayml.train.speed.process import reset_process
from rayml.types import Examples, Features, FeatureShape, TargetInfo

SHAPE = FeatureShape(6, (10, 17, 8, 16, 7, 6, 3, 43))
STEPS = 60
CASES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "MLP, 2 layers of 64, batch 64": (lambda: MLP(SHAPE, 1, width=64, depth=2), 64),
    "MLP, 2 layers of 128, batch 128": (lambda: MLP(SHAPE, 1, width=128, depth=2), 128),
    "MLP, 3 layers of 256, batch 256": (lambda: MLP(SHAPE, 1, width=256, depth=3), 256),
    "ResNet, 2 blocks of 64, batch 64": (lambda: TabularResNet(SHAPE, 1, width=64), 64),
    "ResNet, 2 blocks of 128, batch 256": (lambda: TabularResNet(SHAPE, 1, width=128), 256),
}


def main() -> None:
    """Measure every case and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    reset_process(TrainSettings())
    for name, (make, batch) in CASES.items():
        print(f"\n{name}")
        _case(make, batch, torch.device(options.device), options.lanes, options.rounds)


def _case(
    make: Callable[[], nn.Module], batch: int, device: torch.device, lanes: list[int], rounds: int
) -> None:
    examples = _examples(batch * STEPS)
    batches = ArrayBatches(examples, batch, device)
    settings = TrainSettings(epochs=10**6, batch_size=batch)
    task = build_task(TargetInfo("y", "binary", ("no", "yes")))

    def cohort(count: int) -> Callable[[], None]:
        new = [NewLane(i, make().to(device), settings) for i in range(count)]
        loop = LaneLoop(new, task, batches, batches)
        return lambda: loop.try_steps(STEPS)

    few = ArrayBatches(_examples(2), 2, device)
    one = TrainingLoop(make().to(device), task, batches, few, settings)
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "plain loop, fused AdamW": (_plain(make().to(device), batches), 1),
        "rayml, one model": (one.run_epoch, 1),
        **{f"rayml, {count} lanes": (cohort(count), count) for count in lanes},
    }
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for side, (run, _) in sides.items():
            best[side] = min(best[side], _seconds(run, device))
    peer = STEPS / best["plain loop, fused AdamW"]
    for side, (_, count) in sides.items():
        pace = count * STEPS / best[side]
        print(f"  {side:<26}{pace:>10.0f} lane-steps/s{pace / peer:>8.2f}", flush=True)
    new = NewLane(0, make().to(device), settings)
    print(f"  auto: {measure_lanes(new, task, batches, max(lanes)).reason}")


def _plain(model: nn.Module, batches: ArrayBatches) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    loss_of = nn.BCEWithLogitsLoss()

    def run() -> None:
        model.train()
        for batch in batches.epoch(0, 0):
            optimizer.zero_grad()
            outputs = model(batch.numeric, batch.categorical).squeeze(-1)
            loss_of(outputs, batch.target.float()).backward()
            optimizer.step()

    return run


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _examples(rows: int) -> Examples:
    draw = np.random.default_rng(0)
    codes = [draw.integers(0, size, rows) for size in SHAPE.cardinalities]
    numeric = draw.normal(size=(rows, SHAPE.numeric)).astype(np.float32)
    return Examples(Features(numeric, np.stack(codes, 1)), np.arange(rows) % 2)


if __name__ == "__main__":
    main()
