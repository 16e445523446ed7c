"""What the iterations of an epoch become: values of the epoch, and points of the whole training."""

import math
from pathlib import Path

from nnunet_assets.core.fold.iterations import batches_path, epoch_values, iterations_of
from nnunet_assets.core.fold.journal import Record, append_record, read_records


def test_an_epochs_values_are_means_of_what_is_known_of_its_iterations() -> None:
    values = epoch_values(
        {
            "train_loss": [0.5, 0.25],
            "gradient_norm": [1.0, math.inf, 3.0, None, 40.0],
            "gradient_spike": [None, None, None, None, 40.0],
            "iteration_seconds": [0.5, 0.25, 0.75],
            "wait_seconds": [None, 0.25, 0.75],
        }
    )
    assert values == {
        "gradient_norm_mean": 44 / 3,
        "gradient_norm_max": 40.0,
        "gradient_spikes": 1.0,
        "gradient_overflows": 1.0,
        "iteration_seconds": 0.5,
        "wait_seconds": 0.5,
    }


def test_an_epoch_without_a_finite_norm_has_no_mean_of_them() -> None:
    assert epoch_values({"gradient_norm": [math.nan]}) == {"gradient_spikes": 0.0, "gradient_overflows": 1.0}


def test_without_iterations_an_epoch_has_none_of_it() -> None:
    assert epoch_values({}) == epoch_values({"gradient_norm": [None], "wait_seconds": [None]}) == {}


def test_each_iteration_has_its_number_in_the_whole_training(tmp_path: Path) -> None:
    series = {"train_loss": [0.5, 0.25, math.nan], "wait_seconds": [None, 0.5, 0.125]}
    append_record(batches_path(tmp_path), "epoch", series, 4)
    (record,) = read_records(batches_path(tmp_path))

    assert iterations_of(record) == [
        Record("epoch", record.time_ms, 12, {"batch/train_loss": 0.5, "batch/wait_seconds": None}),
        Record("epoch", record.time_ms, 13, {"batch/train_loss": 0.25, "batch/wait_seconds": 0.5}),
        Record("epoch", record.time_ms, 14, {"batch/train_loss": None, "batch/wait_seconds": 0.125}),
    ]
