"""The commands for datasets and folds where Dagster cannot be imported; see `summaries` for `adopt`."""

from pathlib import Path

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.tracking.fold.fold_run import FoldRun, attempt_of
from nnunet_assets_tests.cli.fold.test_opened_files import write_finished
from nnunet_assets_tests.prepared_builders import write_prepared
from nnunet_assets_tests.raw_builders import write_decathlon, write_tiny_dataset
from nnunet_assets_tests.without_dagster import run_without_dagster

NOBODY = "http://127.0.0.1:9"
"""A server that is down."""


def test_datasets_are_imported_and_checked_and_folds_are_trained_and_synced(tmp_path: Path) -> None:
    roots, _ = write_prepared(tmp_path)
    fold = write_finished(roots)
    records = list(read_records(journal_path(fold)))
    FoldRun(NOBODY, "Dataset951_Records", "fold_0", {}, attempt=attempt_of(records[0])).save(fold)
    dataset = write_tiny_dataset(roots.raw).name
    source = write_decathlon(tmp_path / "Task04_Tiny")
    inside = ["--project", str(tmp_path)]

    ran = run_without_dagster(
        ["import-dataset", str(source), *inside],
        ["check", dataset, *inside],
        ["train", "951", "3d_fullres", "0", "--tracker-disable", *inside],
        ["sync", *inside],
        environment={**roots.environment(), "MLFLOW_TRACKING_URI": NOBODY, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        may_load=("mlflow",),
    )

    said = ["3 training and 1 test cases", "Cases read: 6.", "fold_0 is finished: Dice 0.5000", "1 of 1 folds wait."]
    assert [sentence in output for sentence, (_, output) in zip(said, ran, strict=True)] == [True] * 4, ran
    assert [code for code, _ in ran] == [0, 0, 0, 2]
