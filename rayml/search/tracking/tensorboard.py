"""Event files for TensorBoard: the curves of each trial, and its row among the HParams."""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.summary import hparams

from rayml.search.problem.trials import Curve, FinishedTrial
from rayml.search.space.parameter import Scalar

FOLDER = "tensorboard"
BEST = "best_value"


class TensorBoardTracker:
    """Writes `tensorboard/trial-<number>/` into a sweep's folder.

    `tensorboard --logdir <sweep>/tensorboard` shows each metric by epoch, and the parameters
    beside the best value under HParams.

    Args:
        folder: of the sweep.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)

    def log(self, trial: FinishedTrial, curve: Curve) -> None:
        """Write the event file of a trial."""
        folder = self._folder / f"trial-{trial.number:05}"
        if folder.is_dir():
            return
        with SummaryWriter(logdir=str(folder)) as writer:
            for epoch, metrics in curve.items():
                for name, value in metrics.items():
                    if value is not None:
                        writer.add_scalar(name, value, epoch)
            if trial.reason:
                writer.add_text("reason", trial.reason, trial.epochs)
            _write_hparams(writer, trial)

    def close(self, *, finished: bool) -> None:
        """Nothing is open between trials."""


def _write_hparams(writer: SummaryWriter, trial: FinishedTrial) -> None:
    params = {key: _plain(value) for key, value in trial.params.items()}
    # Without a list of the parameters, which that of one trial need not have all, TensorBoard
    # gathers them from the trials.
    _, start, end = hparams({**params, "state": trial.state}, {})
    for summary in (start, end):
        if trial.state == "FAIL":
            _mark_failed(summary)
        writer.file_writer.add_summary(summary)
    if trial.value is not None:
        writer.add_scalar(BEST, trial.value, trial.epoch)


def _mark_failed(summary: object) -> None:
    """The library ends every session with success."""
    for value in summary.value:  # type: ignore[attr-defined]
        content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
        if content.HasField("session_end_info"):
            content.session_end_info.status = Status.Value("STATUS_FAILURE")
            value.metadata.plugin_data.content = content.SerializeToString()


def _plain(value: Scalar) -> bool | int | float | str:
    return "null" if value is None else value
