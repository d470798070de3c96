import json
import math

from rayml.train.loop.results import BestEpoch


def test_the_best_epoch_survives_strict_json():
    best = BestEpoch(3, 0.1, {"accuracy": 0.1, "auroc": math.nan, "profit": -math.inf})
    restored = BestEpoch.from_json(json.loads(json.dumps(best.to_json(), allow_nan=False)))
    assert (restored.epoch, restored.value) == (3, 0.1)
    assert math.isnan(restored.metrics["auroc"])
    assert restored.metrics["profit"] == -math.inf
