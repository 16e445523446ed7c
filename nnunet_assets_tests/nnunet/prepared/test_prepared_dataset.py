import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold.commit import FoldInputs, commit_fold
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset, wanted_digests
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, known_orientations, read_raw, write_raw
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.prepared_builders import CASES, EXPERIMENT, write_cases, write_plans, write_prepared
from nnunet_assets_tests.raw_builders import write_tiny_dataset
from nnunet_assets_tests.training_builders import roots_in

FULLRES = ("nnUNetPlans", "3d_fullres")


def read(prepared: Any, plans: str = "nnUNetPlans") -> Any:
    return PreparedDataset.read(prepared, plans)


@pytest.fixture
def prepared(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)[1]


def test_what_is_known_of_the_raw_data_comes_back(prepared: Any) -> None:
    assert read_raw(prepared) == RawRecord("the raw data", CASES, voxels_checked=True)


def test_copies_are_known_by_the_files_where_an_older_version_looked_at_the_data(prepared: Any) -> None:
    hashes = dict.fromkeys(CASES, "files")
    write_raw(prepared, RawRecord("the raw data", CASES, voxels_checked=True, case_hashes=hashes))
    record = json.loads((prepared.own / "raw.json").read_text())
    del record["image_hashes"]
    (prepared.own / "raw.json").write_text(json.dumps(record))
    assert read_raw(prepared).image_hashes == hashes


def test_raw_data_that_nobody_looked_at_is_an_error(prepared: Any) -> None:
    (prepared.own / "raw.json").unlink()
    with pytest.raises(PlanningError, match=r"Nothing is known .* Materialize raw_dataset first"):
        read_raw(prepared)


def test_raw_data_that_contradicts_itself_stops_all_that_follows(prepared: Any) -> None:
    write_raw(prepared, RawRecord("the raw data", CASES, voxels_checked=True, errors="case_1: its label is torn"))
    with pytest.raises(PlanningError, match=r"not fit to be trained on.*\ncase_1: its label is torn"):
        read_raw(prepared)


@pytest.mark.parametrize("content", ["", "{", '{"configurations": {"2d"'])
def test_a_damaged_record_is_named(prepared: Any, content: str) -> None:
    prepared.plans_file("nnUNetPlans").write_text(content)
    with pytest.raises(DamagedFileError, match=r"nnUNetPlans\.json is not valid JSON .* Restore it, or delete it"):
        prepared.plans("nnUNetPlans")


def test_the_digest_of_plans_is_that_of_their_content_not_of_the_file(prepared: Any) -> None:
    before = prepared.plans("nnUNetPlans").digest
    path = prepared.plans_file("nnUNetPlans")
    path.write_text(path.read_text().replace(",", " ,\n"))
    assert prepared.plans("nnUNetPlans").digest == before
    write_plans(prepared, batch_size=3)
    assert prepared.plans("nnUNetPlans").digest != before
    assert prepared.plans("MyPlans").digest is None


def test_configurations_that_inherit_from_each_other_are_named(prepared: Any) -> None:
    content = write_plans(prepared, inherits_from="2d")
    content["configurations"]["2d"]["inherits_from"] = "3d_fullres"
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    with pytest.raises(PlanningError, match=r"nnUNetPlans\.json .* in a circle: 2d from 3d_fullres from 2d\. Corr"):
        prepared.plans("nnUNetPlans").needed(["2d"])
    content["configurations"]["own"] = {"spacing": [1.0, 1.0, 1.0]}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert prepared.plans("nnUNetPlans").needed(["own"]) == ["own"]  # which reads nothing of theirs


def test_plans_that_differ_only_in_training_share_their_preprocessed_cases(prepared: Any) -> None:
    write_plans(prepared, "nnUNetResEncUNetMPlans", batch_size=9, patch_size=[16, 16, 16])
    shared = ("nnUNetResEncUNetMPlans", "3d_fullres")
    assert prepared.plans(FULLRES[0]).cases_folder(FULLRES[1]) == prepared.plans(shared[0]).cases_folder(shared[1])
    assert read(prepared, shared[0]).case_set(shared[1]).folder == read(prepared).case_set("3d_fullres").folder
    assert read(prepared, shared[0]).case_set(shared[1]).is_whole


def test_plans_that_preprocess_otherwise_have_cases_of_their_own_whatever_folder_nnunet_gives_them(
    prepared: Any,
) -> None:
    write_plans(prepared, "MyPlans", spacing=[1.0, 1.0, 1.0])
    mine = ("MyPlans", "3d_fullres")
    assert prepared.plans(mine[0]).cases_folder(mine[1]) == prepared.plans(FULLRES[0]).cases_folder(FULLRES[1])
    assert not read(prepared, mine[0]).case_set(mine[1]).is_whole
    write_cases(prepared, *mine)
    assert read(prepared, mine[0]).case_set(mine[1]).is_whole
    assert read(prepared).case_set("3d_fullres").is_whole
    assert wanted_digests(prepared, prepared.folder / "nnUNetPlans_3d_fullres") == {
        read(prepared, mine[0]).case_set(mine[1]).folder.name,
        read(prepared).case_set("3d_fullres").folder.name,
    }


CHANGES = [
    ({"spacing": [1.0, 1.0, 1.0]}, True),
    ({"resampling_fn_data_kwargs": {"order": 1}}, True),
    ({"use_mask_for_norm": [True]}, True),
    ({"preprocessor_name": "Mine"}, True),
    ({"something_new": 1}, True),  # of a newer nnU-Net
    ({"patch_size": [16, 16, 16]}, False),
    ({"batch_size": 9}, False),
    ({"architecture": {"n_stages": 3}}, False),
    ({"resampling_fn_probabilities": "other"}, False),
]


@pytest.mark.parametrize(("changes", "counts"), CHANGES)
def test_only_what_preprocessing_reads_of_a_configuration_makes_other_cases(
    prepared: Any, changes: dict[str, Any], counts: bool
) -> None:
    before = read(prepared).ingredients("3d_fullres")
    write_plans(prepared, **changes)
    assert (read(prepared).ingredients("3d_fullres").digest != before.digest) == counts
    assert bool(before.differences(read(prepared).ingredients("3d_fullres"))) == counts


@pytest.mark.parametrize(
    ("scheme", "counts"),
    [("CTNormalization", True), ("SomebodysNormalization", True), ("ZScoreNormalization", False)],
)
def test_intensity_statistics_count_only_where_the_normalization_uses_them(
    prepared: Any, scheme: str, counts: bool
) -> None:
    def with_mean(mean: Any) -> Any:
        content = write_plans(prepared, normalization_schemes=[scheme, "ZScoreNormalization"])
        content["foreground_intensity_properties_per_channel"] = {"0": {"mean": mean}, "1": {"mean": mean / 2}}
        prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
        return read(prepared).ingredients("3d_fullres")

    before, now = with_mean(100.0), with_mean(101.0)
    assert (before != now) == counts
    if counts:
        assert before.differences(now) == [
            'foreground_intensity_properties_per_channel was {"0": {"mean": 100.0}}, is {"0": {"mean": 101.0}}'
        ]
    assert with_mean(float("nan")) == with_mean(float("nan"))  # a dataset without any foreground


@pytest.mark.parametrize(
    ("change", "counts"),
    [({"labels": {"background": 0, "b": 1}}, True), ({"name": "Another"}, False), ({"numTraining": 9}, False)],
)
@pytest.mark.parametrize("preprocessor", ["DefaultPreprocessor", "SomebodysPreprocessor"])
def test_of_the_description_count_the_labels_and_all_where_nobody_knows_what_is_read(
    prepared: Any, change: dict[str, Any], counts: bool, preprocessor: str
) -> None:
    write_plans(prepared, preprocessor_name=preprocessor)
    curated_folder(prepared).mkdir(parents=True)
    description = {"labels": {"background": 0, "a": 1}, "numTraining": 4, "name": "It"}
    (curated_folder(prepared) / "dataset.json").write_text(json.dumps(description))
    before = read(prepared).ingredients("3d_fullres")
    (curated_folder(prepared) / "dataset.json").write_text(json.dumps({**description, **change}))
    counts = counts or (preprocessor != "DefaultPreprocessor" and "name" in change)
    assert (read(prepared).ingredients("3d_fullres") != before) == counts


def test_a_changed_case_is_told_from_the_others_by_its_digest(prepared: Any) -> None:
    hashes = {case: f"files of {case}" for case in CASES}
    record = RawRecord("the raw data", CASES, voxels_checked=True, case_hashes=hashes)
    write_raw(prepared, record)
    before = read(prepared).ingredients("3d_fullres")
    cases = ("a", "c", "d", "e")
    write_raw(prepared, replace(record, cases=cases, case_hashes={**hashes, "c": "other files", "e": "files of e"}))
    assert before.differences(read(prepared).ingredients("3d_fullres")) == [
        "1 case is new (e)",
        "1 case is changed (c)",
        "1 case is gone (b)",
    ]


def test_without_digests_of_cases_every_case_counts_as_changed(prepared: Any) -> None:
    before = read(prepared).ingredients("3d_fullres")
    write_raw(prepared, RawRecord("newer data", CASES, voxels_checked=True))
    assert before.differences(read(prepared).ingredients("3d_fullres")) == ["4 cases are changed (a, b, c, d)"]


def test_what_wants_no_cases_beside_the_plans_is_passed_over(prepared: Any) -> None:
    (prepared.folder / "splits_of_a_colleague.json").write_text('[{"train": []}]')
    (prepared.folder / "torn.json").write_text('{"configurations": {')
    assert wanted_digests(prepared, prepared.folder / "nnUNetPlans_3d_fullres") == {
        read(prepared).case_set("3d_fullres").folder.name
    }


def test_a_configuration_has_what_it_inherits(prepared: Any) -> None:
    content = write_plans(prepared)
    content["configurations"]["big"] = {"inherits_from": "3d_fullres", "batch_size": 8}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert prepared.plans("nnUNetPlans").configurations["big"]["spacing"] == [3.0, 1.0, 1.0]
    assert prepared.plans("nnUNetPlans").configurations["big"]["batch_size"] == 8
    assert prepared.plans("nnUNetPlans").cases_folder("big") == prepared.plans(FULLRES[0]).cases_folder(FULLRES[1])
    assert read(prepared).case_set("big").is_whole


def test_the_next_stage_of_a_cascade_is_needed_to_validate_the_first(prepared: Any) -> None:
    content = write_plans(prepared)
    content["configurations"]["3d_lowres"] = {"next_stage": "3d_cascade_fullres"}
    content["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert prepared.plans("nnUNetPlans").needed(["3d_lowres"]) == ["3d_lowres", "3d_cascade_fullres"]
    assert prepared.plans("nnUNetPlans").needed(["2d", "gone"]) == ["2d"]
    # It reads the cases of 3d_fullres, so that both are made once.
    assert read(prepared).case_set("3d_cascade_fullres").is_whole


def test_a_configuration_that_a_user_adds_makes_no_other_plans_of_those_that_are_trained(prepared: Any) -> None:
    before = read(prepared).plans_hash_of(EXPERIMENT)
    assert before == prepared.plans("nnUNetPlans").digest  # as older versions have it
    content = write_plans(prepared)
    content["configurations"]["3d_fullres_bs8"] = {"inherits_from": "3d_fullres", "batch_size": 8}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert read(prepared).plans_hash_of(EXPERIMENT) == before != prepared.plans("nnUNetPlans").digest
    own = replace(EXPERIMENT, configuration="3d_fullres_bs8")
    with_one = read(prepared).plans_hash_of(own)
    assert with_one != before
    content["configurations"]["3d_fullres_bs8"]["batch_size"] = 4
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert read(prepared).plans_hash_of(own) != with_one
    assert read(prepared).plans_hash_of(EXPERIMENT) == before


def test_folds_that_an_older_version_trained_beside_own_configurations_stay_what_they_are(prepared: Any) -> None:
    content = write_plans(prepared)
    content["configurations"]["3d_fullres_bs8"] = {"inherits_from": "3d_fullres", "batch_size": 8}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    whole_file = json_sha256(content)
    folder = EXPERIMENT.fold_folder(prepared.roots, "fold_0")
    commit_fold(folder, build_manifest(folder, FoldInputs("raw", whole_file, "splits", "training")))
    assert read(prepared).plans_hash_of(EXPERIMENT) == whole_file
    # Nor does one that was interrupted begin anew.
    begun = replace(EXPERIMENT, variant="short")
    write_json_atomically(
        begun.fold_folder(prepared.roots, "fold_1") / ".nnunet_assets" / "request.json",
        {"inputs": asdict(FoldInputs("raw", whole_file, "splits", "training"))},
    )
    assert read(prepared).plans_hash_of(begun) == whole_file
    assert read(prepared).plans_hash_of(replace(EXPERIMENT, variant="other")) != whole_file
    content["configurations"]["3d_fullres"]["batch_size"] = 3
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    assert read(prepared).plans_hash_of(EXPERIMENT) not in (
        whole_file,
        json_sha256(content),
    )


def test_the_earlier_cases_are_the_newest_that_are_whole(prepared: Any) -> None:
    first = read(prepared).ingredients("3d_fullres")
    write_plans(prepared, spacing=[1.0, 1.0, 1.0])
    read(prepared).case_set("3d_fullres").begin(read(prepared).ingredients("3d_fullres"), "it is not finished")
    assert read(prepared).earlier_ingredients("3d_fullres") == first
    assert read(prepared).earlier_ingredients("2d") is None


def test_a_dataset_without_raw_data_on_this_machine_is_described_by_the_copy_that_planning_made(tmp_path: Path) -> None:
    prepared: PreparedFolder = write_prepared(tmp_path)[1]
    before = read(prepared).ingredients("3d_fullres")
    (prepared.folder / "dataset.json").write_text('{"labels": {"background": 0, "a": 1}}')
    assert read(prepared).ingredients("3d_fullres") != before


def test_it_is_kept_how_the_images_lie_and_older_records_do_not_say(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path / "raw", n_cases=4)
    image = nibabel.load(folder / "imagesTr" / "case_3_0000.nii.gz")
    turned = image.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    for part in ("imagesTr/case_3_0000.nii.gz", "labelsTr/case_3.nii.gz"):
        voxels = np.asarray(nibabel.load(folder / part).dataobj)
        nibabel.save(nibabel.Nifti1Image(voxels, turned), folder / part)
    prepared = PreparedFolder(roots_in(tmp_path), folder.name)
    assert known_orientations(prepared) == ()
    write_raw(prepared, inspect_raw_dataset(folder.parent, folder.name, 2).record)
    assert known_orientations(prepared) == ("RAS", "LPS")
    assert read_raw(prepared).orientations == {"RAS": 3, "LPS": 1}
