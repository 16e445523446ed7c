"""The record of a search on the disk."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.search.trial_files import (
    SearchRecord,
    Trial,
    changed_fields,
    read_record,
    search_folder,
    write_record,
)
from nnunet_assets.errors import DamagedFileError

POINT = {"initial_lr": 1.2345678901234567e-05, "patch_size": [32, 40], "nesterov": True, "steps": 3}


def test_a_record_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    record = SearchRecord({"fold": 0}, {"steps": {"int": [1, 3]}}, {"raw_hash": "a"}, (Trial(0, POINT, 1),))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record


def test_no_record_is_none_and_a_cut_one_an_error(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "search.json").write_text('{"declared": {}')
    with pytest.raises(DamagedFileError, match=r"search\.json is no record of a search"):
        read_record(tmp_path)


def test_a_trial_takes_the_place_of_what_it_was_and_trials_stay_in_order() -> None:
    record = SearchRecord({}, {}, {}).with_trial(Trial(1, {}, 0)).with_trial(Trial(0, {}, 0))
    record = record.with_trial(Trial(0, {}, 0, "stopped", 3))
    assert [(one.number, one.state) for one in record.trials] == [(0, "stopped"), (1, "begun")]


@pytest.mark.parametrize(
    ("state", "failure", "expected"),
    [
        ("begun", None, True),
        ("finished", None, False),
        ("stopped", None, False),
        ("failed", "diverged", False),
        ("failed", "out_of_gpu_memory", False),
        ("failed", "killed", True),
        ("failed", "disk_full", True),
    ],
)
def test_a_trial_goes_on_unless_its_end_is_its_points(state: str, failure: str | None, *, expected: bool) -> None:
    assert Trial(0, {}, 0, state, failure=failure).goes_on is expected  # type: ignore[arg-type]


def test_a_search_lies_beside_the_comparison_of_its_dataset(tmp_path: Path) -> None:
    roots = Roots(tmp_path, tmp_path, tmp_path / "results")
    folder = search_folder(roots, "Dataset004_Hippocampus", "lr")
    assert folder == tmp_path / "results/Dataset004_Hippocampus/nnunet_assets/searches/lr"


def test_what_differs_is_named_with_both_values() -> None:
    assert changed_fields({"fold": 0, "plans": "a"}, {"fold": 1, "plans": "a"}) == ["fold (0, now 1)"]
    assert changed_fields({}, {"fold": 1}) == ["fold (None, now 1)"]
