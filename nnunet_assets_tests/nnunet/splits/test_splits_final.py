import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.case_groups import GroupPattern, GroupTable
from nnunet_assets.core.splits.splits import SplitSettings, check_splits
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.errors import ConfigError, DatasetError, FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits import splits_final as splits_module
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets.nnunet.splits.splitting import default_splits, make_splits
from nnunet_assets_tests.builders import INPUTS, build_manifest
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.recorded_progress import RecordedProgress

DATASET = "Dataset952_Cohort"
CASES = ["a", "b", "c", "d", "e", "f"]
GOOD = [
    {"train": ["c", "d", "e", "f"], "val": ["a", "b"]},
    {"train": ["a", "b", "e", "f"], "val": ["c", "d"]},
    {"train": ["a", "b", "c", "d"], "val": ["e", "f"]},
]
PATIENTS = [f"p{patient}_scan{scan}" for patient in range(6) for scan in range(1 + patient % 3)]
BY_PATIENT = GroupPattern(r"(?P<group>p\d+)_scan\d+")
THREE = SplitSettings(3)
SHORT = Experiment(dataset=DATASET, configuration="2d", variant="short")
LONG = Experiment(dataset=DATASET, configuration="3d_fullres")


class Cohort:
    """A dataset on disk, as far as splitting it goes."""

    def __init__(self, folder: Path, cases: list[str]) -> None:
        self.roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
        self.prepared = PreparedFolder(self.roots, DATASET)
        self.file = self.prepared.folder / "splits_final.json"
        self.has(cases)

    def has(self, cases: list[str], volumes: Any = None, hashes: Any = None) -> None:
        """Records that the raw dataset has these cases now."""
        record = RawRecord("the raw data", tuple(sorted(cases)), voxels_checked=True)
        write_raw(self.prepared, replace(record, label_volumes_ml=volumes or {}, case_hashes=hashes or {}))

    def split(self, settings: Any = THREE, **how: Any) -> Any:
        return ensure_splits(self.roots, DATASET, settings, **how)

    def validation(self) -> Any:
        """Returns the fold that validates each case, by the file."""
        folds = json.loads(self.file.read_text())
        return {case: index for index, fold in enumerate(folds) for case in fold["val"]}

    def generations(self) -> Any:
        return json.loads((self.prepared.own / "splits.json").read_text())["generations"]

    def train(self, experiment: Experiment, fold: Any, hours: Any = None) -> None:
        """Leaves a fold that was trained on the split that is there: finished in so many hours; None: not finished."""
        folder = experiment.fold_folder(self.roots, fold)
        inputs = replace(INPUTS, splits_hash=json_sha256(json.loads(self.file.read_text())))
        write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": vars(inputs)})
        if hours is not None:
            seconds = {"training": hours * 3000, "validation": hours * 600}
            commit_fold(folder, replace(build_manifest(folder, inputs), seconds=seconds))


@pytest.fixture
def cohort(tmp_path: Path) -> Any:
    return Cohort(tmp_path, CASES)


@pytest.fixture
def trained(cohort: Any) -> Any:
    """Six cases in three folds, two of which were trained in one experiment and one in another."""
    cohort.split()
    cohort.train(SHORT, "fold_0", hours=10)
    cohort.train(SHORT, "fold_2", hours=11.5)
    cohort.train(LONG, "fold_1")
    return cohort


COST = (
    "3 trained folds belong to it (21.5 hours for 2 of them): nnUNetTrainer__nnUNetPlans__3d_fullres: fold_1; "
    "short / nnUNetTrainer__nnUNetPlans__2d: fold_0, fold_2."
)

# --- nnU-Net's own ------------------------------------------------------------------------------------------------


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


# --- as declared --------------------------------------------------------------------------------------------------


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


@pytest.fixture
def sites(tmp_path: Path) -> Any:
    """A table of which site each of the six cases is from."""
    table = GroupTable(tmp_path / "sites.csv", "case", "site")
    table.path.write_text(
        "case,site\n" + "".join(f"{case},{site}\n" for case, site in zip(CASES, "OOLLLB", strict=True))
    )
    return table


def test_one_site_is_left_out_at_a_time_in_the_order_of_their_names(sites: Any) -> None:
    splits = make_splits(SplitSettings(3, groups=sites, leave_one_group_out=True), raw_of(CASES))
    assert [split["val"] for split in splits] == [["f"], ["c", "d", "e"], ["a", "b"]]
    assert check_splits(splits, CASES, 3) == splits


def test_a_site_without_cases_cannot_be_left_out(sites: Any) -> None:
    with pytest.raises(DatasetError, match=r"sites\.csv names 3 groups, but the dataset has cases of 2: L, O\."):
        make_splits(SplitSettings(3, groups=sites, leave_one_group_out=True), raw_of(CASES[:5]))


def test_a_file_of_the_users_own_is_taken_where_it_fits(cohort: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps(GOOD))
    settings = SplitSettings(3, file=mine)
    assert cohort.split(settings).what == "made"
    assert json.loads(cohort.file.read_text()) == GOOD
    assert cohort.split(settings).what == "kept"
    cohort.has(["x", "y", "z"])
    with pytest.raises(DatasetError, match=r"mine\.json does not fit .*\n.* It has none of the dataset's cases"):
        cohort.split(settings)


# --- the file on disk ---------------------------------------------------------------------------------------------


def test_a_file_that_fits_is_kept_byte_for_byte(cohort: Any) -> None:
    cohort.file.write_text(own := json.dumps(GOOD))  # one line, as nnU-Net would not write it
    made = cohort.split()
    assert (made.what, made.folds, made.record.generations) == ("the user's own", GOOD, ())
    assert cohort.file.read_text() == own


def test_the_file_comes_with_a_record_of_how_it_was_made_and_no_temporary_one(cohort: Any) -> None:
    assert cohort.split().what == "made"
    (generation,) = cohort.generations()
    assert generation["settings"] == {"folds": 3}
    assert sorted(case for cases in generation["added"].values() for case in cases) == CASES
    assert sorted(path.name for path in cohort.prepared.folder.iterdir()) == [".nnunet_assets", "splits_final.json"]
    before = cohort.file.stat().st_mtime_ns
    assert cohort.split().what == "kept"
    assert (cohort.file.stat().st_mtime_ns, len(cohort.generations())) == (before, 1)


def test_a_file_that_somebody_edited_is_theirs(cohort: Any) -> None:
    cohort.split()
    cohort.file.write_text(json.dumps(GOOD))
    assert cohort.split(SplitSettings(3, seed=7)).what == "the user's own"
    assert json.loads(cohort.file.read_text()) == GOOD


def test_a_file_for_other_cases_that_is_the_users_own_is_never_written_over(cohort: Any) -> None:
    path = write_splits(cohort.prepared.folder, GOOD)
    before = path.read_bytes()
    cohort.has(["a", "b", "c", "d", "e", "g", "h"])
    with pytest.raises(DatasetError) as caught:
        cohort.split(on_new_cases="renew", renew=True)
    message = str(caught.value)
    assert message.startswith(f"{path} does not fit the dataset and its 3 folds:\n")
    assert "does not have: f." in message
    assert "Restore the data or the number of folds that it was made for, or correct it; or, to have it" in message
    assert path.read_bytes() == before


def test_all_that_does_not_fit_is_said_with_the_first_five_and_the_count(cohort: Any) -> None:
    write_splits(cohort.prepared.folder, GOOD)
    cohort.has([f"case_{n}" for n in range(10)])
    with pytest.raises(DatasetError) as caught:
        cohort.split(SplitSettings(5))
    message = str(caught.value)
    assert "It has 3 folds instead of 5." in message
    assert "does not have: a, b, c, d, e and 1 more." in message


TRAINING_ONLY = [{"train": ["b", "c", "d", "e"], "val": ["a"]}, {"train": ["a", "c", "d", "e"], "val": ["b"]}]
HOLD_OUT = [{"train": ["a", "b", "c", "d"], "val": ["e", "f"]}]


@pytest.mark.parametrize("splits", [TRAINING_ONLY, HOLD_OUT])
def test_a_split_of_ones_own_may_validate_some_cases_only_and_have_one_fold(
    cohort: Any, splits: Any, tmp_path: Path
) -> None:
    cohort.file.write_text(json.dumps(splits))
    said: list[str] = []
    made = cohort.split(SplitSettings(len(splits)), progress=RecordedProgress(said.append))
    assert (made.what, made.folds) == ("the user's own", splits)
    assert ("No fold names 1 case (f)" in " ".join(said)) == (splits is TRAINING_ONLY)

    cohort.file.unlink()
    (tmp_path / "mine.json").write_text(json.dumps(splits))
    declared = SplitSettings(len(splits), file=tmp_path / "mine.json")
    assert [cohort.split(declared).what for _ in range(2)] == ["made", "kept"]
    cohort.train(LONG, "fold_0", hours=1)
    cohort.has([*CASES, "new"])
    assert cohort.split(declared, progress=RecordedProgress(said.append)).what == "kept"  # the file says who trains
    assert ("(f, new)" if splits is TRAINING_ONLY else "(new)") in said[-1]
    (tmp_path / "mine.json").write_text(json.dumps([{**splits[0], "train": ["new"]}, *splits[1:]]))
    with pytest.raises(DatasetError, match=r"not changed, though mine\.json holds another split now\. 1 trained"):
        cohort.split(declared)


def test_one_fold_is_not_made_without_a_file_that_says_who_validates(cohort: Any) -> None:
    for settings in (SplitSettings(1), SplitSettings(1, groups=BY_PATIENT), SplitSettings(1, stratify=True)):
        with pytest.raises(DatasetError, match=r"into 1 folds; .* One fold alone is a hold-out, of cases that you"):
            make_splits(settings, raw_of(PATIENTS))


def test_cases_that_came_after_a_split_was_made_are_not_passed_over_when_a_fold_starts(cohort: Any) -> None:
    for is_recorded in (True, False):
        cohort.has(CASES)
        if is_recorded:
            cohort.split()
        else:
            (cohort.prepared.own / "splits.json").unlink()
        cohort.has([*CASES, "new"])
        with pytest.raises(DatasetError, match=r"does not name these cases, which came after it was made: new\."):
            fold_inputs(dataset_of(cohort.roots, LONG), LONG, "fold_0", "training")
    cohort.file.write_text(json.dumps(GOOD))  # whose user left it out
    with pytest.raises(FoldError, match="is not preprocessed"):
        fold_inputs(dataset_of(cohort.roots, LONG), LONG, "fold_0", "training")


@st.composite
def files_that_fit(draw: Any) -> Any:
    """Draws files that are accepted: each case is validated once, only trained on, or left out."""
    n_folds = draw(st.integers(1, 4))
    cases = draw(st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=4),
                          min_size=2 * n_folds, max_size=12, unique_by=str.casefold))  # fmt: skip
    home = [*range(n_folds), *(draw(st.integers(0, n_folds + 1)) for _ in cases[n_folds:])]
    validates = dict(zip(cases, draw(st.permutations(home)), strict=True))
    splits = []
    for fold in range(n_folds):
        others = [case for case in cases if validates[case] not in (fold, n_folds + 1)]
        train = draw(st.lists(st.sampled_from(others), min_size=1, unique=True)) if others else []
        splits.append({"train": train, "val": [case for case in cases if validates[case] == fold]})
    return cases, splits


@given(files_that_fit())
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_split_that_is_accepted_is_what_nnunet_trains_and_validates(drawn: Any) -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    cases, splits = drawn
    if not all(split["train"] for split in splits):
        return
    with TemporaryDirectory() as folder:
        cohort = Cohort(Path(folder), cases)
        write_splits(cohort.prepared.folder, splits)
        made = cohort.split(SplitSettings(len(splits)))
        for fold, split in enumerate(made.folds):
            trainer = SimpleNamespace(
                fold=fold,
                preprocessed_dataset_folder=folder,
                preprocessed_dataset_folder_base=str(cohort.prepared.folder),
                folder_with_segs_from_previous_stage=None,
                dataset_class=lambda *_, **__: SimpleNamespace(identifiers=cases),
                print_to_log_file=assert_no_warning,
            )
            assert nnUNetTrainer.do_split(trainer) == (split["train"], split["val"])


def assert_no_warning(*said: Any) -> None:
    assert "WARNING" not in " ".join(map(str, said))


def test_a_torn_file_is_said_to_be_torn(cohort: Any) -> None:
    cohort.file.write_text('[{"train": ["a"')
    with pytest.raises(DatasetError, match=r"splits_final\.json is not valid JSON .*delete it\."):
        cohort.split()


def test_a_torn_record_is_said_to_be_torn(cohort: Any) -> None:
    cohort.split()
    (cohort.prepared.own / "splits.json").write_text("{")
    with pytest.raises(DatasetError, match=r"splits\.json is not valid JSON .*Restore it, or delete it\."):
        cohort.split()


def test_a_declared_file_does_not_replace_one_of_unknown_origin(cohort: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(list(reversed(GOOD))))
    write_splits(cohort.prepared.folder, GOOD)
    with pytest.raises(DatasetError, match=r"is neither what .*mine\.json holds, nor was it made by this project"):
        cohort.split(SplitSettings(3, file=tmp_path / "mine.json"))


def test_a_file_that_nnunet_wrote_counts_as_made_with_its_settings(cohort: Any) -> None:
    write_splits(cohort.prepared.folder, default_splits(CASES, 3))
    assert cohort.split().what == "kept"
    cohort.has([*CASES, "g"])
    assert cohort.split().what == "made anew"


def test_a_file_that_was_deleted_comes_back_as_it_was_though_it_was_extended(trained: Any) -> None:
    trained.has([*CASES, "g"])
    trained.split(on_new_cases="extend")
    before = trained.file.read_bytes()
    trained.file.unlink()
    assert trained.split().what == "kept"
    assert trained.file.read_bytes() == before


def test_a_file_beside_the_raw_data_is_the_split_where_nothing_else_is_declared(cohort: Any, tmp_path: Path) -> None:
    beside = write_splits(cohort.roots.raw / DATASET, GOOD)
    made = cohort.split()
    assert (made.what, made.folds, made.settings.file) == ("made", GOOD, beside)
    assert cohort.generations()[-1]["settings"] == {"folds": 3, "file": "splits_final.json"}
    # As nnU-Net's planner left it for others: a copy, of which nobody noted where it is from.
    (cohort.prepared.own / "splits.json").unlink()
    assert cohort.split().what == "kept"
    write_splits(cohort.roots.raw / DATASET, list(reversed(GOOD)))
    with pytest.raises(DatasetError, match=r"is neither what .*raw.*splits_final\.json holds, nor was it made by this"):
        cohort.split()


@pytest.mark.parametrize("settings", [SplitSettings(3, seed=0), SplitSettings(3, stratify=True)])
def test_a_file_beside_the_raw_data_and_another_declaration_are_refused_together(cohort: Any, settings: Any) -> None:
    beside = write_splits(cohort.roots.raw / DATASET, GOOD)
    (name,) = settings.record.keys() - {"folds"}
    with pytest.raises(DatasetError) as caught:
        cohort.split(settings)
    assert str(caught.value).startswith(
        f"{beside} is a split of the dataset, but `splits` declares another one: {name}={settings.record[name]}. Move"
    )
    assert not cohort.file.exists()


def test_a_declared_file_counts_more_than_the_one_beside_the_raw_data(cohort: Any, tmp_path: Path) -> None:
    write_splits(cohort.roots.raw / DATASET, GOOD)
    mine = write_splits(tmp_path / "mine", list(reversed(GOOD)))
    assert cohort.split(SplitSettings(3, file=mine)).folds == list(reversed(GOOD))


def test_a_split_that_was_edited_so_that_a_patient_leaks_starts_no_fold(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, ["p1_scan1", "p1_scan2", "p2_scan1", "p2_scan2"])
    settings = SplitSettings(2, groups=BY_PATIENT)
    leaking = [
        {"train": ["p1_scan2", "p2_scan2"], "val": ["p1_scan1", "p2_scan1"]},
        {"train": ["p1_scan1", "p2_scan1"], "val": ["p1_scan2", "p2_scan2"]},
    ]

    def start() -> None:
        fold_inputs(dataset_of(cohort.roots, LONG), LONG, "fold_0", "settings")

    cohort.split(settings)
    write_splits(cohort.prepared.folder, leaking)
    leak = (
        r"splits_final\.json folds train on what they .*\nfold_0 trains on groups that it validates: p1, p2\.\nfold_1"
    )
    with pytest.raises(DatasetError, match=leak):
        start()
    # One that was theirs from the beginning is held to what is declared, too, and to nothing that is not.
    (cohort.prepared.own / "splits.json").unlink()
    assert cohort.split(settings).folds == leaking
    with pytest.raises(DatasetError, match=leak):
        start()
    cohort.split(SplitSettings(2))
    with pytest.raises(FoldError, match="is not preprocessed"):
        start()


# --- a change of the split ----------------------------------------------------------------------------------------


def test_nothing_is_asked_where_no_fold_was_trained(cohort: Any) -> None:
    cohort.split()
    cohort.has([*CASES, "g"])
    assert cohort.split().what == "made anew"
    assert cohort.validation().keys() == {*CASES, "g"}
    assert cohort.split(SplitSettings(2)).what == "made anew"
    assert len(json.loads(cohort.file.read_text())) == 2
    assert [made["settings"]["folds"] for made in cohort.generations()] == [3, 3, 2]


def test_cases_that_come_and_go_under_trained_folds_are_refused_with_the_cost(trained: Any) -> None:
    before = trained.file.read_bytes()
    trained.has(["a", "b", "c", "d", "e", "g", "h"])
    with pytest.raises(DatasetError) as caught:
        trained.split()
    message = str(caught.value)
    assert "is not changed, though 2 cases were added: g, h; 1 case was removed: f. " in message
    assert COST in message
    assert "With another split each of them has other cases to train or validate on, so all of them are" in message
    assert "set `on_new_cases: extend`" in message
    assert (trained.file.read_bytes(), len(trained.generations())) == (before, 1)


def test_an_extended_split_keeps_each_case_in_its_fold_and_says_the_cost_first(trained: Any) -> None:
    before, said = trained.validation(), []

    def say(sentence: str) -> None:
        assert trained.validation() == before
        said.append(sentence)

    trained.has(["a", "b", "c", "d", "e", "g", "h"])
    made = trained.split(on_new_cases="extend", progress=RecordedProgress(say))
    after = trained.validation()
    assert (made.what, len(made.superseded)) == ("extended", 3)
    assert {case: after[case] for case in "abcde"} == {case: before[case] for case in "abcde"}
    assert sorted(Counter(after.values()).values()) == [2, 2, 3]
    (sentence,) = said
    assert COST in sentence
    last = trained.generations()[-1]
    assert (last["origin"], last["removed"]) == ("extended", ["f"])
    assert {case: fold for fold, cases in last["added"].items() for case in cases} == {
        case: f"fold_{after[case]}" for case in "gh"
    }


def test_a_new_scan_of_a_known_patient_is_validated_with_the_old_ones(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, PATIENTS)
    settings = SplitSettings(3, groups=BY_PATIENT)
    cohort.split(settings)
    cohort.train(SHORT, "fold_0", hours=1)
    cohort.has([*PATIENTS, "p2_scan9", "p7_scan1"])
    cohort.split(settings, on_new_cases="extend")
    after = cohort.validation()
    assert after["p2_scan9"] == after["p2_scan0"]
    assert "p7_scan1" in after


def test_a_new_site_becomes_a_new_fold_at_the_end(trained: Any, sites: Any) -> None:
    settings = SplitSettings(3, groups=sites, leave_one_group_out=True)
    trained.split(settings, renew=True)
    trained.train(SHORT, "fold_0", hours=1)
    before = trained.validation()
    sites.path.write_text(sites.path.read_text() + "g,A\n")
    trained.has([*CASES, "g"])
    assert trained.split(replace(settings, n_folds=4), on_new_cases="extend").what == "extended"
    assert trained.validation() == {**before, "g": 3}


def test_a_fold_whose_cases_are_all_gone_cannot_be_extended(trained: Any) -> None:
    gone = [case for case, fold in trained.validation().items() if fold == 1]
    trained.has([case for case in CASES if case not in gone])
    with pytest.raises(DatasetError, match=r"were all that fold_1 validated, so the split cannot be extended"):
        trained.split(SplitSettings(3), on_new_cases="extend")


def test_a_renewed_split_is_the_one_that_a_new_project_would_get(trained: Any, tmp_path: Path) -> None:
    trained.has([*CASES, "g"])
    said: list[str] = []
    made = trained.split(on_new_cases="renew", progress=RecordedProgress(said.append))
    assert (made.what, len(said)) == ("made anew", 1)
    assert made.folds == default_splits([*CASES, "g"], 3)


@pytest.mark.parametrize("on_new_cases", ["refuse", "extend", "renew"])
def test_other_settings_under_trained_folds_are_refused_whatever_is_declared_for_new_cases(
    trained: Any, on_new_cases: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        trained.split(SplitSettings(3, seed=7), on_new_cases=on_new_cases)
    message = str(caught.value)
    assert "though it was made with folds=3 and is declared with folds=3, seed=7." in message
    assert COST in message
    assert "`on_change: renew`" in message
    assert trained.split(SplitSettings(3, seed=7), renew=True, progress=SILENT).what == "made anew"


def test_other_settings_that_come_to_the_same_split_are_no_change(trained: Any, tmp_path: Path) -> None:
    same = tmp_path / "same.json"
    same.write_text(trained.file.read_text())
    assert trained.split(SplitSettings(3, file=same)).what == "kept"
    assert trained.generations()[-1]["settings"] == {"folds": 3, "file": "same.json"}


def test_a_declared_file_that_changes_under_trained_folds_is_refused(trained: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(trained.file.read_text())
    settings = SplitSettings(3, file=mine)
    trained.split(settings)
    mine.write_text(json.dumps(GOOD))
    with pytest.raises(
        DatasetError, match=r"is not changed, though mine\.json holds another split now\. 3 trained folds"
    ):
        trained.split(settings)


def test_groups_that_change_under_trained_folds_are_refused(tmp_path: Path, sites: Any) -> None:
    cohort = Cohort(tmp_path, CASES)
    settings = SplitSettings(2, groups=sites)
    cohort.split(settings)
    cohort.train(SHORT, "fold_0", hours=1)
    sites.path.write_text(sites.path.read_text().replace("e,L", "e,O"))
    with pytest.raises(
        DatasetError, match=r"though these cases have other groups now: e\. 1 trained fold belongs to it"
    ):
        cohort.split(settings)


def test_folds_of_an_older_split_cost_nothing(trained: Any) -> None:
    trained.split(SplitSettings(3, seed=7), renew=True, progress=SILENT)
    assert trained.split(SplitSettings(3, seed=8)).what == "made anew"  # nobody was asked


def test_folds_that_plain_nnunet_trained_count(cohort: Any) -> None:
    cohort.split()
    folder = LONG.fold_folder(cohort.roots, "fold_3")
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").touch()
    cohort.has([*CASES, "g"])
    with pytest.raises(
        DatasetError, match=r"1 trained fold belongs to it \(hours unknown\): nnUNetTrainer__\w+: fold_3\."
    ):
        cohort.split()


def test_a_model_on_every_case_belongs_to_no_split(cohort: Any) -> None:
    cohort.split()
    cohort.train(LONG, "fold_all", hours=1)
    cohort.has([*CASES, "g"])
    assert cohort.split().what == "made anew"


def test_the_preprocessed_folder_deleted_to_save_space_gives_the_same_split_again(trained: Any) -> None:
    trained.file.unlink()
    (trained.prepared.own / "splits.json").unlink()
    assert trained.split().what == "made"
    assert trained.split().what == "kept"


def test_a_split_that_is_lost_is_not_replaced_by_another_under_trained_folds(trained: Any) -> None:
    trained.file.unlink()
    (trained.prepared.own / "splits.json").unlink()
    with pytest.raises(DatasetError, match=r"though neither it nor its record is there\. 3 trained folds belong to it"):
        trained.split(SplitSettings(3, seed=7))


def test_nothing_changes_while_a_fold_trains_though_its_user_says_so(trained: Any) -> None:
    folder = LONG.summary_folder(trained.roots)
    folder.mkdir(parents=True)
    trained.has([*CASES, "g"])
    before = trained.file.read_bytes()
    with (
        kernel_lock(folder / "fold_1.lock"),
        pytest.raises(DatasetError, match=r"while folds train on it: nnUNetTrainer__nnUNetPlans__3d_fullres, fold_1\."),
    ):
        trained.split(on_new_cases="extend")
    assert trained.file.read_bytes() == before
    assert trained.split(on_new_cases="extend", progress=SILENT).what == "extended"


def test_a_write_that_was_cut_short_is_done_again(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.has([*CASES, "g"])
    before = trained.validation()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(splits_module, "write_splits", fail)
        with pytest.raises(OSError, match="No space left"):
            trained.split(on_new_cases="extend", progress=SILENT)
    assert trained.validation() == before
    with pytest.raises(DatasetError, match="1 case was added: g"):
        trained.split()
    assert trained.split(on_new_cases="extend", progress=SILENT).what == "extended"
    assert len(trained.generations()) == 2


def test_a_group_file_that_is_gone_is_an_error_before_anything_changes(cohort: Any, sites: Any) -> None:
    cohort.split(SplitSettings(3, groups=sites))
    before = cohort.file.read_bytes()
    sites.path.unlink()
    with pytest.raises(ConfigError, match=r"There is no file .*sites\.csv"):
        cohort.split(SplitSettings(3, groups=sites))
    assert cohort.file.read_bytes() == before
