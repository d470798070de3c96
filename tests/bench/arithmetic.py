"""The training steps of a sweep and nothing else: the floor that its wall-clock is held against.

Every structure's lane-steps are run back to back in the faster of rayml's own loops, on as many
processes as the sweep had workers, each with one thread; no search, no reports, no Ray.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

Job = tuple[int, int, int]  # width, depth, epochs summed over trials


def seconds_of_steps(
    arrays: Path, epochs: Counter[tuple[int, int]], batch: int, lanes: int
) -> float:
    """Wall-clock of the longest of two processes that share the work.

    Args:
        arrays: the prepared arrays.
        epochs: of all trials by width and depth.
        batch: rows a step.
        lanes: trials that train together.
    """
    shares: list[list[Job]] = [[], []]
    for (width, depth), total in sorted(epochs.items()):
        shares[0].append((width, depth, total // 2))
        shares[1].append((width, depth, total - total // 2))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_work, args=(arrays, share, batch, lanes, barrier, results))
        for share in shares
    ]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return max(found)


def _work(
    arrays: Path, share: list[Job], batch: int, lanes: int, barrier: Any, results: Any
) -> None:
    import torch

    from rayml.models.nets.mlp import MLP
    from rayml.settings.train import TrainSettings
    from rayml.tasks.table import build_task
    from rayml.train.lanes.lane import NewLane
    from rayml.train.lanes.lanes import LaneLoop
    from rayml.train.loop.batches import ArrayBatches
    from rayml.train.speed.process import reset_process
    from rayml.types import Examples, Features, FeatureShape, TargetInfo

    settings = TrainSettings(epochs=10**6, batch_size=batch)
    reset_process(settings)
    data = np.load(arrays)
    train, validation = (
        Examples(
            Features(data[f"{split}_numeric"], data[f"{split}_categorical"]),
            data[f"{split}_target"],
        )
        for split in ("train", "validation")
    )
    shape = FeatureShape(train.features.numeric.shape[1], tuple(data["cardinalities"].tolist()))
    task = build_task(TargetInfo("income", "binary", ("a", "b")))
    batches = ArrayBatches(train, batch)
    held_out = ArrayBatches(validation, 8192)
    torch.manual_seed(0)
    barrier.wait()
    start = time.perf_counter()
    for width, depth, left in share:
        epochs = left
        while epochs:
            count = min(lanes, epochs)
            models = [MLP(shape, 1, width=width, depth=depth) for _ in range(count)]
            new = [NewLane(i, model, settings) for i, model in enumerate(models)]
            loop = LaneLoop(new, task, batches, held_out)
            for _ in range(epochs // count):
                loop.try_steps(batches.steps)
            epochs %= count
    results.put(time.perf_counter() - start)
