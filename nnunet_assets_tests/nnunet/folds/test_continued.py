"""The fold that is to be continued: finished, with a checkpoint, and of the data that there are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.continued import continued_fold
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.prepared_builders import EXPERIMENT, dataset_of, inputs_of, write_plans, write_prepared

PARENT = replace(EXPERIMENT, variant="short", trainer="nnUNetTrainerAdam")


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)


def finish(records: Any, *, has_checkpoint: bool = True) -> Path:
    roots = records[0]
    write_fold(roots, PARENT, "fold_0", {"a": HIGHER}, inputs=inputs_of(records, experiment=PARENT))
    folder = PARENT.fold_folder(roots, "fold_0")
    manifest = read_committed(folder)
    assert manifest
    files = {name: digest for name, digest in manifest.files.items() if name != FINAL_CHECKPOINT}
    (folder / FINAL_CHECKPOINT).unlink(missing_ok=True)
    if has_checkpoint:
        (folder / FINAL_CHECKPOINT).write_bytes(b"weights")
        files[FINAL_CHECKPOINT] = file_sha256(folder / FINAL_CHECKPOINT)
    commit_fold(folder, replace(manifest, files=files, n_epochs=5))
    return folder


def test_a_finished_fold_is_named_by_its_checkpoint(records: Any) -> None:
    folder = finish(records)

    found = continued_fold(dataset_of(records[0]), PARENT, "fold_0")

    assert (found.folder, found.n_epochs, found.variant, found.training_hash) == (folder, 5, "short", "settings")
    assert found.checkpoint_sha256 == file_sha256(folder / FINAL_CHECKPOINT)
    assert found.experiment == f"{PARENT.title}, fold_0"


def test_one_that_is_not_finished_is_told_with_the_command_that_trains_it(records: Any) -> None:
    with pytest.raises(FoldError) as caught:
        continued_fold(dataset_of(records[0]), PARENT, "fold_1")
    assert str(caught.value).endswith(
        "fold_1 is to be continued and is not finished (it was not begun). Train it first: `nnunet-assets train "
        "Dataset951_Records 3d_fullres 1 -tr nnUNetTrainerAdam --variant short`."
    )


def test_one_of_other_plans_or_without_a_checkpoint_is_refused(records: Any) -> None:
    finish(records, has_checkpoint=False)
    with pytest.raises(FoldError, match="was trained without checkpoints"):
        continued_fold(dataset_of(records[0]), PARENT, "fold_0")
    finish(records)
    write_plans(records[1], batch_size=9)
    with pytest.raises(FoldError, match="was trained with other plans than there is now, and is to be continued"):
        continued_fold(dataset_of(records[0]), PARENT, "fold_0")
