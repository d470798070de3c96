"""A version that is served keeps the event loop free for others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from rayml.config.components.trust import Trust
from rayml.serve.model.served import ServedModel
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.paced_model import Paced


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch as a replica of one core has it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_model_that_waits_for_an_accelerator_does_not_hold_the_loop(tmp_path: Path) -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    model = {"_target_": f"{Paced.__module__}.{Paced.__name__}", "seconds": 0.02}
    bundle = untrained_bundle(tmp_path / "paced", table, target="y", task="binary", model=model)
    served = ServedModel(
        Predictor.load(bundle, trust=Trust(modules=(Paced.__module__,))),
        version="1",
        settings=ServeSettings(),
    )

    async def turns() -> int:
        pending = asyncio.create_task(served.predict_rows([{"x": 1.0}]))
        turns = 0
        while not pending.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    # On the loop itself the answer would be there after two or three.
    assert asyncio.run(turns()) > 10
    served.close()
