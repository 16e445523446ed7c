"""Splits as they are made: nnU-Net's own, byte for byte, and those that are declared."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.splits.splits import SplitSettings, check_splits
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.splitting import default_splits, make_splits
from nnunet_assets_tests.nnunet.splits.cohort import BY_PATIENT, CASES, PATIENTS, Cohort


def bytes_that_nnunet_writes(folder: Path, cases: list[str], n_folds: int) -> bytes:
    """Does as `nnUNetTrainer.do_split` does where there is no file."""
    from batchgenerators.utilities.file_and_folder_operations import save_json
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    folder.mkdir(exist_ok=True)
    all_keys_sorted = list(np.sort(list(cases)))
    save_json(generate_crossval_split(all_keys_sorted, seed=12345, n_splits=n_folds), str(folder / "theirs.json"))
    return (folder / "theirs.json").read_bytes()


@pytest.mark.parametrize("n_folds", [2, 5])
@pytest.mark.parametrize(
    "cases",
    [
        [f"hippocampus_{n:03d}" for n in range(50)],
        [f"case_{n}" for n in (10, 9, 1, 2, 100)],
        ["B", "a", "_", "Ü", "患者", "with space", "1"],
    ],
)
def test_the_default_file_is_nnunets_own_byte_for_byte(tmp_path: Path, cases: list[Any], n_folds: int) -> None:
    cohort = Cohort(tmp_path, cases)
    cohort.split(SplitSettings(n_folds))
    assert cohort.file.read_bytes() == bytes_that_nnunet_writes(tmp_path / "theirs", cases, n_folds)


@given(
    cases=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5), min_size=2, unique=True
    ),
    n_folds=st.integers(2, 7),
    seed=st.sampled_from([12345, 0]),
)
def test_any_default_split_validates_each_case_once(cases: Any, n_folds: Any, seed: Any) -> None:
    if len(cases) < n_folds:
        with pytest.raises(DatasetError, match=rf"{len(cases)} cases cannot be split into {n_folds} folds"):
            default_splits(cases, n_folds, seed)
        return
    splits = default_splits(cases, n_folds, seed)
    assert Counter(case for split in splits for case in split["val"]) == Counter(cases)
    assert check_splits(splits, cases, n_folds) == splits
    assert splits == default_splits(sorted(cases), n_folds, seed)


@pytest.mark.parametrize("n_folds", [0, 1])
def test_a_cross_validation_has_two_folds_at_least(n_folds: int) -> None:
    with pytest.raises(DatasetError, match=f"6 cases cannot be split into {n_folds} folds; a cross-validation needs"):
        default_splits(CASES, n_folds)


def test_the_names_are_plain_text() -> None:
    assert {type(case) for split in default_splits(CASES, 3) for case in [*split["train"], *split["val"]]} == {str}


def test_splitting_imports_no_torch() -> None:
    code = (
        "import sys; from nnunet_assets.nnunet.splits.splitting import default_splits;"
        "default_splits(list('abcde'), 5);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def raw_of(cases: list[str], volumes: Any = None) -> Any:
    return RawRecord("raw", tuple(sorted(cases)), voxels_checked=True, label_volumes_ml=volumes or {})


@given(
    cases=st.lists(st.from_regex(r"p[0-9]_scan[0-9]{1,3}", fullmatch=True), min_size=2, max_size=40, unique=True),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 3),
    stratify=st.booleans(),
    data=st.data(),
)
def test_any_grouped_split_is_a_cross_validation_with_each_patient_on_one_side(
    cases: Any, n_folds: Any, seed: Any, stratify: Any, data: Any
) -> None:
    settings = SplitSettings(n_folds, seed=seed, groups=BY_PATIENT, stratify=stratify)
    volumes = {case: {"lesion": data.draw(st.sampled_from([0.0, 1.0, 50.0]))} for case in cases}
    patients = {case: case[:2] for case in cases}
    if len(set(patients.values())) < n_folds:
        with pytest.raises(DatasetError, match=rf"groups by the pattern .* is \d \(p\d.*, too few for {n_folds} folds"):
            make_splits(settings, raw_of(cases, volumes))
        return
    splits = check_splits(make_splits(settings, raw_of(cases, volumes)), cases, n_folds)
    for split in splits:
        assert not {patients[case] for case in split["train"]} & {patients[case] for case in split["val"]}


def test_a_stratified_split_spreads_a_label_that_nnunets_own_does_not() -> None:
    # One of five cases has the lesion. nnU-Net's seeded k-fold of these leaves a fold without.
    cases = [f"case_{n:02d}" for n in range(25)]
    volumes = {case: {"lesion": 1.0 if case < "case_05" else 0.0} for case in cases}

    def with_lesion(settings: Any) -> Any:
        splits = make_splits(settings, raw_of(cases, volumes))
        return sorted(sum(volumes[case]["lesion"] > 0 for case in split["val"]) for split in splits)

    assert with_lesion(SplitSettings(5))[0] == 0
    assert with_lesion(SplitSettings(5, stratify=True)) == [1, 1, 1, 1, 1]


def test_volumes_that_are_not_known_cannot_be_stratified() -> None:
    with pytest.raises(
        DatasetError, match=r"The label volumes of these cases are not known: a, b, c, d, e and 1 more\."
    ):
        make_splits(SplitSettings(3, stratify=True), raw_of(CASES))


def test_too_few_cases_to_stratify() -> None:
    volumes = {case: {"lesion": 1.0} for case in CASES}
    with pytest.raises(DatasetError, match="6 cases cannot be split into 7 folds"):
        make_splits(SplitSettings(7, stratify=True), raw_of(CASES, volumes))


def test_one_group_only_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match=r"number of groups by the pattern .* is 1 \(p1\), too few for 2 folds"):
        make_splits(SplitSettings(2, groups=BY_PATIENT), raw_of(["p1_scan1", "p1_scan2"]))


def test_one_site_is_left_out_at_a_time_in_the_order_of_their_names(sites: Any) -> None:
    splits = make_splits(SplitSettings(3, groups=sites, leave_one_group_out=True), raw_of(CASES))
    assert [split["val"] for split in splits] == [["f"], ["c", "d", "e"], ["a", "b"]]
    assert check_splits(splits, CASES, 3) == splits


def test_a_site_without_cases_cannot_be_left_out(sites: Any) -> None:
    with pytest.raises(DatasetError, match=r"sites\.csv names 3 groups, but the dataset has cases of 2: L, O\."):
        make_splits(SplitSettings(3, groups=sites, leave_one_group_out=True), raw_of(CASES[:5]))


def test_one_fold_is_not_made_without_a_file_that_says_who_validates(cohort: Any) -> None:
    for settings in (SplitSettings(1), SplitSettings(1, groups=BY_PATIENT), SplitSettings(1, stratify=True)):
        with pytest.raises(DatasetError, match=r"into 1 folds; .* One fold alone is a hold-out, of cases that you"):
            make_splits(settings, raw_of(PATIENTS))
