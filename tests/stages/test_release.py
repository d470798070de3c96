"""The verbs that change a release, where no endpoint runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.cli import main
from rayml.registry.promotion import PromotionDecision
from rayml.registry.store import Registry
from rayml.testing.bundles import untrained_bundle


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    bundle = untrained_bundle(tmp_path / "b", table, target="y", task="binary", name="m")
    registry = Registry(tmp_path / "registry")
    for _ in range(3):
        registry.register(bundle)
    return registry


def rayml(registry: Registry, *words: str) -> int:
    return main([*words, "name=m", f"paths.registry={registry.root}"])


def test_promote_roll_back_and_status(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rayml(registry, "rollback") == 1
    assert "no earlier champion to roll back to" in capsys.readouterr().err
    for version in ("1", "latest"):
        assert rayml(registry, "promote", version) == 0
    assert "champion is version 3, was 1" in capsys.readouterr().out
    assert rayml(registry, "rollback") == 0
    assert registry.aliases("m") == {"champion": 1}
    assert rayml(registry, "release", "canary", "serve.canary={version: 2, weight: 0.2}") == 0
    assert rayml(registry, "release", "shadow", "serve.shadow=3") == 0
    assert "no endpoint of this model runs" in capsys.readouterr().out
    assert rayml(registry, "release", "status") == 0
    shown = capsys.readouterr().out
    for word in ("champion", "canary 0.2", "previous, shadow", "rayml rollback"):
        assert word in shown
    assert rayml(registry, "release", "canary") == 0
    assert registry.release("m").canary is None
    assert rayml(registry, "release", "fly") == 2


def test_what_is_wrong_with_a_canary_is_told_at_once(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["serve.canary.weight=2", "serve.canary.key=cookie", "serve.canary.guards.p99_ratio=0"]
    assert rayml(registry, "release", "canary", *words) == 2
    told = capsys.readouterr().err
    for key in ("weight", "key", "guards.p99_ratio"):
        assert f"serve.canary.{key}" in told
    assert rayml(registry, "release", "canary", "serve.canary.version=2", "serve.version=1") == 2
    assert "version=champion" in capsys.readouterr().err


def test_a_canary_is_drawn_by_a_column_that_the_model_has(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rayml(registry, "promote", "1") == 0
    words = ["release", "canary", "serve.canary.version=2"]
    assert rayml(registry, *words, "serve.canary.key=column:user") == 2
    told = capsys.readouterr().err
    assert "user" in told
    assert "Its inputs are x" in told
    assert registry.release("m").canary is None
    assert rayml(registry, *words, "serve.canary.key=column:x") == 0


def test_predicting_without_a_champion_names_the_ways_out(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n1.0\n")
    assert rayml(registry, "predict", str(rows)) == 1
    told = capsys.readouterr().err
    assert "model 'm' has no champion; its versions are 1, 2, 3" in told
    assert "`rayml promote 3 name=m`" in told
    assert rayml(registry, "predict", str(rows), "serve.version=3") == 0
    assert rayml(registry, "promote", "3") == 0
    assert rayml(registry, "predict", str(rows)) == 0


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[PromotionDecision | None], Registry]:
    """A registry of two versions, about the second of which something was decided."""

    def make(decision: PromotionDecision | None) -> Registry:
        table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
        registry = Registry(tmp_path / "judged")
        for number, each in enumerate((None, decision)):
            bundle = tmp_path / f"judged{number}"
            untrained_bundle(bundle, table, target="y", task="binary", name="m", decision=each)
            registry.register(bundle)
        assert rayml(registry, "promote", "1") == 0
        return registry

    return make


def test_promoting_what_was_found_worse_by_hand_warns(
    judged: Callable[[PromotionDecision | None], Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    worse = PromotionDecision(
        promote=False, reason="it is worse: f1 0.1", verdict="worse", against=1
    )
    registry = judged(worse)
    assert rayml(registry, "promote", "2") == 0
    shown = capsys.readouterr().out
    assert "warning: when version 2 was registered, it is worse: f1 0.1" in shown
    assert registry.aliases("m") == {"champion": 2}


def test_what_does_not_beat_a_constant_is_promoted_by_force_alone(
    judged: Callable[[PromotionDecision | None], Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    useless = PromotionDecision(
        promote=False, reason="it does not beat a constant", verdict="no better than a constant"
    )
    registry = judged(useless)
    assert rayml(registry, "promote", "2") == 1
    told = capsys.readouterr().err
    assert "rayml promote 2 registry.force=true" in told
    assert registry.aliases("m") == {"champion": 1}
    assert rayml(registry, "promote", "2", "registry.force=true") == 0
    assert registry.aliases("m") == {"champion": 2}
