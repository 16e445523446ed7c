"""The figures of a fold's end, worked by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.tracking.fold.fold_run import FoldRun, ending_metrics
from nnunet_assets_tests.builders import build_manifest


def epoch(number: int, seconds: float, ema: float | None) -> Record:
    values: dict[str, Any] = {"epoch_seconds": seconds, "pseudo_dice_ema": ema, "val_loss": ema and -ema}
    return Record("epoch", 1000 + number, number, values)


RECORDS = [
    Record("start", 999, None, {}),
    epoch(0, 1000.0, None),
    epoch(1, 2000.0, 0.5),
    epoch(2, 3000.0, 0.7),
    epoch(3, 1200.0, 0.7),
]


def test_an_unfinished_fold_shows_its_time_and_the_first_of_its_best_epochs() -> None:
    assert ending_metrics(RECORDS, None) == {
        "epochs_trained": 4.0,
        "training_seconds": 7200.0,
        "training_hours": 2.0,
        "best_epoch": 2.0,
        "best_pseudo_dice_ema": 0.7,
        "best_val_loss": -0.7,
    }


def test_gpu_hours_count_every_gpu_while_it_is_held(tmp_path: Path) -> None:
    manifest = replace(
        build_manifest(tmp_path / "fold_0"),
        device="NVIDIA H200",
        seconds={"training": 7200.0, "validation": 1800.0},
        peak_memory_bytes={"host": 5, "gpu": 7},
        details={"options": {"num_gpus": 2}},
    )
    metrics = ending_metrics(RECORDS, manifest)
    assert metrics["gpu_hours"] == 5.0
    assert metrics["validation_seconds"] == 1800.0
    assert (metrics["peak_memory_host_bytes"], metrics["peak_memory_gpu_bytes"]) == (5.0, 7.0)


def test_a_fold_on_the_cpu_has_no_gpu_hours(tmp_path: Path) -> None:
    assert "gpu_hours" not in ending_metrics(RECORDS, build_manifest(tmp_path / "fold_0"))


def test_a_fold_without_an_epoch_has_no_best_one() -> None:
    assert ending_metrics(RECORDS[:1], None) == {"epochs_trained": 0.0, "training_seconds": 0.0, "training_hours": 0.0}


@pytest.mark.parametrize("content", ["[]", "null", '{"run', '{"tracking_uri": 1}', '{"sent": "x"}'])
def test_a_run_whose_file_is_damaged_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / ".nnunet_assets" / "mlflow_run.json"
    file.parent.mkdir()
    file.write_text(content)
    assert FoldRun.load(tmp_path) is None
