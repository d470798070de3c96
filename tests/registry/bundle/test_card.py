"""A model card tells how its values changed while it trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.card import model_card


def test_a_schedule_is_told_epoch_by_epoch(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    lineage = replace(loaded.lineage, params={"train.optimizer.lr": 0.2}, schedule=())
    assert "epochs" not in model_card(loaded.info, loaded.signature, lineage)
    stretches = (
        {"first": 1, "last": 3, "trial": 4, "params": {"train.optimizer.lr": 0.1}},
        {"first": 4, "last": 9, "trial": 2, "params": {"train.optimizer.lr": 0.2}},
    )
    card = model_card(loaded.info, loaded.signature, replace(lineage, schedule=stretches))
    assert "- epochs 1 to 3 as trial 4 with `train.optimizer.lr` = 0.1\n" in card
    assert "- epochs 4 to 9 as trial 2 with `train.optimizer.lr` = 0.2\n" in card
