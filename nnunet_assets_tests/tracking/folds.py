"""A fold's folder with a journal as the training process writes it, and a look at what MLflow has of it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD

DATASET = "Dataset004_Hippocampus"
TAGS = {"nnunet_assets.fold": "fold_0", "dagster_run_id": "run-1"}


def start(fold: Path, attempt: str = "attempt-1", params: Mapping[str, Any] | None = None) -> None:
    append_record(journal_path(fold), "start", {"attempt": attempt, "params": params or {"initial_lr": 0.01}})


def train(fold: Path, first: int, last: int) -> None:
    """Appends the epochs from `first` to `last`, both included; the loss of epoch 3 is 0.3."""
    for epoch in range(first, last + 1):
        values = {"train_loss": epoch / 10, "pseudo_dice_mean": 0.5, "pseudo_dice/tumor (core)": None}
        append_record(journal_path(fold), "epoch", values, epoch=epoch)


def validate(fold: Path) -> None:
    append_record(journal_path(fold), "end", {"val_dice_mean": 0.87, "val_dice/tumor (core)": 0.8, "val_iou/x": None})


def tracker(
    uri: str, fold: Path, *, share_files: bool = False, preprocessed: Path | None = None, **changes: Any
) -> FoldTracker:
    arguments: dict[str, Any] = {
        "experiment_name": DATASET,
        "fold_folder": fold,
        "tags": TAGS,
        "run_name": "nnUNetTrainer__nnUNetPlans__2d fold_0",
        "poll_seconds": 0.1,
    }
    destination = Destination(uri, fold.parent / "artifacts", share_files, preprocessed)
    return FoldTracker(destination, **{**arguments, **changes})


class Tracked:
    """The MLflow runs of a store."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._client = connect(Destination(uri, folder / "artifacts"))

    @property
    def runs(self) -> list[Any]:
        experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
        return list(self._client.search_runs(experiments, order_by=["attributes.start_time ASC"]))

    @property
    def run(self) -> Any:
        """The fold's run; what stands above it is the run of its cross-validation."""
        (run,) = (run for run in self.runs if FOLD in run.data.tags)
        return run

    def history(self, name: str, run_id: str | None = None) -> list[tuple[int, float]]:
        """Step and value of every point, in the order of steps."""
        points = self._client.get_metric_history(run_id or self.run.info.run_id, name)
        return sorted((point.step, point.value) for point in points)

    def delete(self, run: Any) -> None:
        self._client.delete_run(run.info.run_id)

    def files(self) -> list[str]:
        return sorted(file.path for file in self._client.list_artifacts(self.run.info.run_id))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
