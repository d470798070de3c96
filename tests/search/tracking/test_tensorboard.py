"""Event files are what TensorBoard itself reads."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from rayml.search.problem.trials import Curve, FinishedTrial
from rayml.search.tracking.tensorboard import TensorBoardTracker

GOOD = FinishedTrial(3, {"lr": 0.1, "norm": None, "deep": True}, "COMPLETE", 0.75, 2, 2, "")
BAD = FinishedTrial(4, {"lr": 9.0, "norm": "batch"}, "FAIL", None, None, 1, "ValueError: no")
CURVE: Curve = {
    1: {"accuracy": 0.5, "auroc": None, "train_loss": 0.7},
    2: {"accuracy": 0.75, "auroc": 0.875, "train_loss": 0.6},
}


def read(folder: Path, number: int) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard" / f"trial-{number:05}"))
    events.Reload()
    return events


def hparams(events: EventAccumulator) -> dict[str, HParamsPluginData]:
    content = events.summary_metadata
    return {
        tag: HParamsPluginData.FromString(data.plugin_data.content)
        for tag, data in content.items()
        if data.plugin_data.plugin_name == "hparams"
    }


def test_curves_by_metric(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.log(GOOD, CURVE)
    tracker.close(finished=True)
    events = read(tmp_path, 3)
    tags = {"accuracy", "auroc", "train_loss", "best_value"}
    assert set(events.Tags()["scalars"]) == tags
    points = [(each.step, each.value) for each in events.Scalars("accuracy")]
    assert points == [(1, 0.5), (2, 0.75)]
    assert [each.step for each in events.Scalars("auroc")] == [2]
    assert [each.value for each in events.Scalars("best_value")] == [0.75]


def test_parameters_beside_the_best_value(tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path).log(GOOD, CURVE)
    found = hparams(read(tmp_path, 3))
    start = found["_hparams_/session_start_info"].session_start_info
    assert start.hparams["lr"].number_value == 0.1
    assert start.hparams["norm"].string_value == "null"
    assert start.hparams["deep"].bool_value is True
    assert start.hparams["state"].string_value == "COMPLETE"
    assert "_hparams_/experiment" not in found
    assert found["_hparams_/session_end_info"].session_end_info.status == 1


def test_a_failed_trial_is_a_failed_session(tmp_path: Path) -> None:
    TensorBoardTracker(tmp_path).log(BAD, {1: {"accuracy": 0.5}})
    events = read(tmp_path, 4)
    assert hparams(events)["_hparams_/session_end_info"].session_end_info.status == 2
    [text] = events.Tensors("reason/text_summary")
    assert text.tensor_proto.string_val == [b"ValueError: no"]
    assert "best_value" not in events.Tags()["scalars"]


def test_a_trial_is_written_once(tmp_path: Path) -> None:
    for _ in range(2):
        TensorBoardTracker(tmp_path).log(GOOD, CURVE)
    assert len(list((tmp_path / "tensorboard" / "trial-00003").iterdir())) == 1
