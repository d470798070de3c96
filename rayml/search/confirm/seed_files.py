"""The results of confirmed seeds on disk, in `<sweep>/confirm/<trial>/<seed>/`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.errors import CheckpointError
from rayml.train.build import apply
from rayml.train.loop.results import BestEpoch
from rayml.train.seed_results import SEED, SeedResult

if TYPE_CHECKING:
    from rayml.train.loop.checkpoint import Checkpoint

FOLDER = "confirm"


class SeedFiles:
    """The finished seeds of one trial.

    A file is whole or counts as absent, and so does one that another config wrote: a sweep that
    was given more epochs since trains its winner again.

    Args:
        sweep: folder of the sweep.
        number: of the trial.
        config: of the trial.
    """

    def __init__(self, sweep: Path, number: int, config: Mapping[str, Any]) -> None:
        self._folder = sweep / FOLDER / str(number)
        # Its own seed is replaced by each of the seeds.
        text = json.dumps(apply(config, {SEED: 0}), sort_keys=True)
        self._config = hashlib.sha256(text.encode()).hexdigest()

    def save(self, result: SeedResult) -> None:
        """Keep a result."""
        from rayml.train.loop.checkpoint import Checkpoint, save_checkpoint

        state = {
            "config": self._config,
            "best": result.best.to_json(),
            "parameters": result.parameters,
            "steps": result.steps,
            "seconds": result.seconds,
        }
        save_checkpoint(self._folder / str(result.seed), Checkpoint(result.weights, state))

    def load(self, seed: int) -> SeedResult:
        """Read a result.

        Raises:
            CheckpointError: it is absent, torn, or of another config.
        """
        from rayml.train.loop.checkpoint import load_checkpoint

        saved: Checkpoint = load_checkpoint(self._folder / str(seed))
        state = saved.state
        if state.get("config") != self._config:
            raise CheckpointError(
                "a confirmed seed was trained with another config than its trial has",
                found=str(self._folder / str(seed)),
                remedy="Confirm the sweep again",
            )
        return SeedResult(
            seed=seed,
            best=BestEpoch.from_json(state["best"]),
            weights=saved.tensors,
            parameters=state["parameters"],
            steps=state["steps"],
            seconds=state["seconds"],
        )

    def find(self, seed: int) -> SeedResult | None:
        """A result if it is there and whole."""
        try:
            return self.load(seed)
        except CheckpointError:
            return None
