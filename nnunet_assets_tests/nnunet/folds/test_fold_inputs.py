"""What a fold would be trained on: its digests, and what is missing or does not belong together."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.errors import DatasetError, FoldError, PlanningError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets_tests.prepared_builders import (
    CASES,
    DATASET,
    EXPERIMENT,
    SPLITS,
    dataset_of,
    inputs_of,
    write_plans,
    write_prepared,
)


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)


def test_the_inputs_are_the_digests_of_what_lies_there(records: Any) -> None:
    inputs = inputs_of(records)
    assert inputs == inputs_of(records, "fold_1")
    assert (inputs.raw_hash, inputs.training_hash) == ("the raw data", "settings")
    assert inputs.plans_hash == records[1].plans("nnUNetPlans").digest
    assert inputs.splits_hash == json_sha256(SPLITS)


def test_a_fold_needs_splits(records: Any) -> None:
    (records[1].folder / "splits_final.json").unlink()
    with pytest.raises(FoldError, match=r"splits_final\.json is missing\. Materialize splits first"):
        inputs_of(records)


def test_torn_splits_are_an_error(records: Any) -> None:
    (records[1].folder / "splits_final.json").write_text('[{"train": ["c"')
    with pytest.raises(FoldError, match=r"splits_final\.json is not valid JSON .* trained folds belong to that file"):
        inputs_of(records)


@pytest.mark.parametrize("content", ["{}", "3", '[{"train": ["a"]}]', "[[]]"])
def test_another_file_is_no_splits(records: Any, content: str) -> None:
    (records[1].folder / "splits_final.json").write_text(content)
    with pytest.raises(DatasetError, match="is not a list of folds of the form"):
        inputs_of(records)


def test_splits_of_other_cases_are_an_error(records: Any) -> None:
    write_splits(records[1].folder, [{"train": ["c"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["x"]}])
    with pytest.raises(DatasetError, match="It names cases that the dataset does not have: x"):
        inputs_of(records)


def test_a_split_with_a_copy_on_both_sides_starts_no_fold_but_that_on_every_case(records: Any) -> None:
    hashes = {"a": "image", "b": "another", "c": "image"}
    write_raw(records[1], RawRecord("the raw data", CASES, voxels_checked=True, image_hashes=hashes))
    with pytest.raises(DatasetError, match=r"fold_0 validates copies of cases that it trains on: a and c\.\nfold_1 "):
        inputs_of(records, "fold_1")
    inputs_of(records, "fold_all")


def test_a_model_on_every_case_needs_no_splits_and_a_new_split_does_not_change_it(records: Any) -> None:
    roots, prepared = records
    before = fold_inputs(dataset_of(roots), EXPERIMENT, "fold_all", "training")
    (prepared.folder / "splits_final.json").unlink()
    assert fold_inputs(dataset_of(roots), EXPERIMENT, "fold_all", "training") == before


@pytest.mark.parametrize("fold", ["fold_2", "fold_9", "fold_-1", "fold_01", "fold_a", "fold_0.5"])
def test_a_fold_outside_the_splits_is_an_error_where_nnunet_would_split_at_random(records: Any, fold: str) -> None:
    with pytest.raises(FoldError, match=rf"{fold} does not exist; the splits .* have fold_0, fold_1\. nnU-Net would"):
        inputs_of(records, fold)


@pytest.mark.parametrize("gone", ["cases", "plans"])
def test_a_fold_needs_plans_and_preprocessed_cases(records: Any, gone: str) -> None:
    if gone == "cases":
        shutil.rmtree(PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres").folder)
    else:
        records[1].plans_file("nnUNetPlans").unlink()
    with pytest.raises(FoldError, match=f"{DATASET} is not preprocessed for nnUNetPlans, 3d_fullres. Materialize pre"):
        inputs_of(records)


def test_a_configuration_that_the_planner_dropped_is_named_with_those_there_are(records: Any) -> None:
    with pytest.raises(
        FoldError, match=r"no configuration '3d_lowres'\. nnU-Net's planner makes.*Available: 2d, 3d_fullres"
    ):
        inputs_of(records, experiment=replace(EXPERIMENT, configuration="3d_lowres"))


def test_cases_that_were_preprocessed_from_other_data_are_an_error(records: Any) -> None:
    write_raw(records[1], RawRecord("newer data", CASES, voxels_checked=True))
    with pytest.raises(FoldError, match=r"made from other input .*: 4 cases are changed \(a, b, c, d\)\. Mater"):
        inputs_of(records)


def test_cases_that_were_preprocessed_for_other_plans_are_an_error(records: Any) -> None:
    write_plans(records[1], spacing=[1.0, 1.0, 1.0])
    with pytest.raises(
        FoldError, match=r"made from other input .*: spacing was \[3.0, 1.0, 1.0\], is \[1.0, 1.0, 1.0\]\. Mat"
    ):
        inputs_of(records)


@pytest.mark.parametrize(
    ("name", "value"), [("dataset_name", "Dataset004_Hippocampus"), ("plans_name", "x/../../../../escaped")]
)
def test_plans_that_lead_to_other_folders_are_an_error(records: Any, name: str, value: str) -> None:
    plans = records[1].plans_file("nnUNetPlans")
    plans.write_text(json.dumps({**json.loads(plans.read_text()), name: value}))
    with pytest.raises(PlanningError, match=rf"nnUNetPlans\.json has {name} '{value}' in place of '.*', so that nnU"):
        inputs_of(records)


def test_cases_of_an_older_version_of_this_package_are_an_error_and_no_crash(records: Any) -> None:
    folder = records[1].sets_folder(records[1].folder / "nnUNetPlans_3d_fullres")
    shutil.rmtree(folder)
    folder.with_name(f"{folder.name}.json").write_text('{"raw_hash": "the raw data"}')
    with pytest.raises(FoldError, match="is not preprocessed for nnUNetPlans, 3d_fullres"):
        inputs_of(records)
