import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.errors import FoldError, LockingError, PlanningError
from nnunet_assets.nnunet.folds.bound_inputs import bound_roots
from nnunet_assets.nnunet.prepared.case_sets import remove_unwanted
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets_tests.prepared_builders import (
    CASES,
    DATASET,
    EXPERIMENT,
    SPLITS,
    dataset_of,
    plans_content,
    write_cases,
    write_plans,
    write_prepared,
)

FULLRES = ("nnUNetPlans", "3d_fullres")

BIND = """
import sys
from pathlib import Path
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.folds.bound_inputs import bound_roots
from nnunet_assets_tests.prepared_builders import EXPERIMENT, dataset_of
roots = Roots(*(Path(sys.argv[1], name) for name in ("raw", "preprocessed", "results")))
with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
    print(bound.preprocessed, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def records(tmp_path: Path) -> Any:
    roots, prepared = write_prepared(tmp_path)
    (prepared.folder / "dataset.json").write_text("{}")
    return roots, prepared


def content(folder: Any) -> Any:
    """Returns all that nnU-Net could read below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in folder.iterdir()
        for path in ([top] if top.is_file() else top.iterdir())
    }


def prepare_anew(prepared: Any) -> None:
    """What a raw dataset that changed does to a prepared one: all of it is other than before."""
    write_raw(prepared, RawRecord("newer data", CASES[:3], voxels_checked=True))
    write_plans(prepared, batch_size=9)
    write_splits(prepared.folder, list(reversed(SPLITS)))
    (prepared.folder / "dataset.json").write_text('{"labels": {"other": 1}}')
    corrected = prepared.folder / "gt_segmentations" / ".a.nii.gz"
    corrected.write_text("corrected")
    corrected.replace(prepared.folder / "gt_segmentations" / "a.nii.gz")
    case_set = write_cases(prepared, n_bytes=20)
    remove_unwanted(case_set.folder.parent, {case_set.folder.name})


def test_what_is_prepared_anew_while_a_fold_trains_does_not_reach_it_and_is_there_for_the_next(records: Any) -> None:
    roots, prepared = records
    with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
        folder = bound.preprocessed / DATASET
        assert (bound.raw, bound.results) == (roots.raw, roots.results)
        before = content(folder)
        assert len(before) == 3 + 4 + 4 * 3  # plans, description, splits; references; cases
        prepare_anew(prepared)
        assert content(folder) == before
    assert list((prepared.own / "bound").iterdir()) == []
    with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
        now = content(bound.preprocessed / DATASET)
    assert len(now) == 3 + 4 + 3 * 3
    assert {name for name in now if before.get(name) == now[name]} == {
        f"gt_segmentations/{case}.nii.gz" for case in ("b", "c", "d")
    }


def test_a_folder_that_a_network_drive_keeps_ends_no_finished_fold(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, prepared = records
    remove = shutil.rmtree

    def keep(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    def rmtree(folder: Any, **options: Any) -> None:
        with (folder / "owner.lock").open() as file:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an open file would be kept under another name
        monkeypatch.setattr(os, "rmdir", keep)
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with bound_roots(dataset_of(roots), EXPERIMENT):
        pass
    assert os.rmdir is keep
    assert len(list((prepared.own / "bound").iterdir())) == 1


def test_what_other_systems_leave_among_the_cases_does_not_reach_nnunet(records: Any) -> None:
    roots, prepared = records
    with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
        before = content(bound.preprocessed / DATASET)
    cases = next(prepared.own.glob("cases/*/*/cases"))
    (cases / ".DS_Store").touch()
    with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
        assert content(bound.preprocessed / DATASET) == before


def test_the_cases_of_the_next_stage_are_bound_too(records: Any) -> None:
    roots, prepared = records
    plans = plans_content()
    lowres = {"data_identifier": "nnUNetPlans_3d_lowres", "next_stage": "3d_cascade_fullres"}
    plans["configurations"]["3d_lowres"] = {**plans["configurations"]["2d"], **lowres}
    plans["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(plans))
    write_cases(prepared, "nnUNetPlans", "3d_lowres")
    experiment = Experiment(DATASET, "3d_lowres")
    with bound_roots(dataset_of(roots, experiment), experiment) as bound:
        for name in ("nnUNetPlans_3d_lowres", "nnUNetPlans_3d_fullres"):
            assert len(list((bound.preprocessed / DATASET / name).iterdir())) == 12


def test_without_symbolic_links_the_cases_are_linked_one_by_one(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "symlink", refuse)
    with bound_roots(dataset_of(records[0]), EXPERIMENT) as bound:
        folder = bound.preprocessed / DATASET / "nnUNetPlans_3d_fullres"
        assert not folder.is_symlink()
        assert len(list(folder.iterdir())) == 12


def test_a_fold_does_not_start_on_damaged_cases(records: Any) -> None:
    roots, prepared = records
    (PreparedDataset.read(prepared, FULLRES[0]).case_set(FULLRES[1]).cases / "b.pkl").unlink()
    with (
        pytest.raises(FoldError, match=r"files of 1 cases for 3d_fullres were damaged or deleted \(b; in .*only these"),
        bound_roots(dataset_of(roots), EXPERIMENT),
    ):
        pass


def test_a_fold_does_not_start_on_a_disk_without_locks(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(LockingError, match=r"readers\.lock cannot lock files"),
        bound_roots(dataset_of(records[0]), EXPERIMENT),
    ):
        pass


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_a_fold_does_not_start_on_references_that_are_not_the_labels_of_its_cases(records: Any, how: str) -> None:
    reference = records[1].references / "c.nii.gz"
    reference.write_text("reference of d") if how == "edited" else reference.unlink()
    with (
        pytest.raises(FoldError, match=r"references of 1 cases are not, .* \(c; in .*gt_segmentations.*copied anew"),
        bound_roots(dataset_of(records[0]), EXPERIMENT),
    ):
        pass


def test_a_fold_does_not_start_on_cases_that_are_not_there(records: Any) -> None:
    write_plans(records[1], spacing=[1.0, 1.0, 1.0])
    with (
        pytest.raises(PlanningError, match="Materialize preprocessed_plans first"),
        bound_roots(dataset_of(records[0]), EXPERIMENT),
    ):
        pass


def test_what_a_killed_owner_left_is_removed_by_the_next_and_what_a_living_one_reads_is_not(
    records: Any, tmp_path: Path
) -> None:
    roots, prepared = records

    def places() -> Any:
        return {str(path) for path in (prepared.own / "bound").iterdir()}

    with subprocess.Popen(
        [sys.executable, "-c", BIND, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        theirs = other.stdout.readline().strip()
        an_hour_ago = time.time() - 3600
        os.utime(Path(theirs, "owner.lock"), (an_hour_ago, an_hour_ago))
        with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
            assert places() == {theirs, str(bound.preprocessed)}
        other.kill()
    assert places() == {theirs}
    with bound_roots(dataset_of(roots), EXPERIMENT) as bound:
        assert places() == {str(bound.preprocessed)}
