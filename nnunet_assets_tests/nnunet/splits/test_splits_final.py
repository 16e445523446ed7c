"""The file of the split on disk: whose it is, whether it fits, and what nnU-Net makes of it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.errors import DatasetError, FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.splits.splitting import default_splits
from nnunet_assets_tests.nnunet.splits.cohort import BY_PATIENT, CASES, DATASET, GOOD, LONG, Cohort
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.recorded_progress import RecordedProgress


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
