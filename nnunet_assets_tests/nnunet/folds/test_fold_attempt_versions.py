import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path, saved_epochs_path
from nnunet_assets.core.fold.version_history import read_stages
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold_attempt import check_versions, note_stage
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset, wanted_digests
from nnunet_assets_tests.overlaid_versions import next_version, overlay
from nnunet_assets_tests.prepared_builders import EXPERIMENT, dataset_of, write_cases, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress

OTHER_MINOR, OTHER_LAST = (next_version("nnunetv2", part) for part in (1, 2))


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)


@pytest.fixture
def begun(records: Any) -> Any:
    """A fold of which two epochs are trained, under the installed versions."""
    place = EXPERIMENT.place_of(records[0], "fold_0")
    note(records)
    append_record(journal_path(place.folder), "start", {"attempt": "a", "params": {}})
    saved_epochs_path(place.folder).write_text("2")
    return place


def note(records: Any, **how: Any) -> None:
    place = EXPERIMENT.place_of(records[0], "fold_0")
    note_stage(place, dataset_of(records[0]), read_stages(place.folder), **{"despite_changes": False, **how})


def test_nothing_is_said_under_the_same_versions(begun: Any, records: Any) -> None:
    said: list[str] = []
    check_versions(begun, despite_changes=False, progress=RecordedProgress(said.append))
    note(records)
    assert (said, len(read_stages(begun.folder))) == ([], 1)


def test_another_minor_version_of_nnunet_goes_on_by_the_users_word_alone(
    begun: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", {"nnunetv2": OTHER_MINOR}))
    with pytest.raises(FoldError, match=rf"nnunetv2 {version('nnunetv2')}|pip install nnunetv2==") as caught:
        check_versions(begun, despite_changes=False)
    assert f"and {OTHER_MINOR} is installed" in str(caught.value)
    assert "--despite-changes" in str(caught.value)
    said: list[str] = []
    check_versions(begun, despite_changes=True, progress=RecordedProgress(said.append))
    assert OTHER_MINOR in said[0]
    (begun.folder / "checkpoint_final.pth").touch()  # only predicted from here on
    check_versions(begun, despite_changes=False)


@pytest.mark.parametrize(
    "versions", [{"nnunetv2": OTHER_LAST}, {"torch": "99.0.0"}, {"numpy": next_version("numpy", 1), "torch": "1.0"}]
)
def test_other_versions_go_on_and_are_said_and_noted(
    begun: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, Any]
) -> None:
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", versions))
    said: list[str] = []
    check_versions(begun, despite_changes=False, progress=RecordedProgress(said.append))
    assert all(
        f"{name} {read_stages(begun.folder)[0].versions[name]}, now {text}" in said[0]
        for name, text in versions.items()
    )
    note(records)
    first, second = read_stages(begun.folder)
    assert (second.from_epoch, second.what) == (2, "training")
    assert {name: second.versions[name] for name in versions} == versions
    assert first.cases == second.cases  # of the cases nothing changed


def test_a_fold_that_has_no_epoch_yet_begins_under_any_version(
    begun: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_epochs_path(begun.folder).unlink()
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", {"nnunetv2": OTHER_MINOR}))
    check_versions(begun, despite_changes=False)


def test_cases_of_another_last_number_are_those_of_the_fold(
    records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres")
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", {"nnunetv2": OTHER_LAST}))
    now = PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres")
    assert now.is_whole
    assert now.folder == before.folder
    assert wanted_digests(records[1], records[1].folder / "nnUNetPlans_3d_fullres") == {before.folder.name}


def test_cases_that_another_minor_version_preprocessed_anew_end_a_fold_without_a_word(
    begun: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.syspath_prepend(overlay(tmp_path / "other", {"nnunetv2": OTHER_MINOR}))
        assert not PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres").is_whole
        made = write_cases(records[1])
        with pytest.raises(FoldError, match=rf"that nnunetv2 .* preprocessed, and {OTHER_MINOR} preprocessed them"):
            note(records)
        note(records, despite_changes=True)
    assert json.loads(made.ingredients().read["nnunetv2"]) == OTHER_MINOR
    assert [stage.cases for stage in read_stages(begun.folder)] == [
        {"nnUNetPlans_3d_fullres": version("nnunetv2")},
        {"nnUNetPlans_3d_fullres": OTHER_MINOR},
    ]
