"""A split that is to change: who is asked, what it costs, and what is left where it is interrupted."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.errors import ConfigError, DatasetError
from nnunet_assets.nnunet.splits import splits_final as splits_module
from nnunet_assets.nnunet.splits.splitting import default_splits
from nnunet_assets_tests.nnunet.splits.cohort import BY_PATIENT, CASES, COST, GOOD, LONG, PATIENTS, SHORT, Cohort
from nnunet_assets_tests.recorded_progress import RecordedProgress


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
