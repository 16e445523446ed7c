from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets_tests.builders import EXPERIMENT, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.raw_builders import tiny_json, write_json


@pytest.fixture
def roots(tmp_path: Path) -> Any:
    return Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def write_fold(roots: Roots, fold: str, case: str) -> Path:
    folder = EXPERIMENT.fold_folder(roots, fold)
    write_validation_summary(folder, [summary_entry(case, {"1": 0.5, "2": 0.25})])
    write_json(folder.parent / "dataset.json", tiny_json())
    commit_fold(folder, replace(build_manifest(folder), details={"validation_cases": [case]}))
    return folder


def test_finished_folds_come_in_the_order_asked_for_and_others_are_left_out(roots: Roots) -> None:
    write_fold(roots, "fold_2", "c")
    write_fold(roots, "fold_0", "a")
    (write_fold(roots, "fold_1", "b") / ".nnunet_assets" / "COMMIT").unlink()
    results = collect_fold_results(roots, EXPERIMENT, ["fold_0", "fold_1", "fold_2", "fold_3"])
    assert [(result.fold, [case.case_id for case in result.cases]) for result in results] == [
        ("fold_0", ["a"]),
        ("fold_2", ["c"]),
    ]


def test_no_model_folder_has_no_results(roots: Roots) -> None:
    assert collect_fold_results(roots, EXPERIMENT, ["fold_0"]) == []


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_model_folder_whose_dataset_json_cannot_be_read_is_an_error(roots: Roots, content: str | None) -> None:
    path = write_fold(roots, "fold_0", "a").parent / "dataset.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SummaryError, match=r"dataset\.json, by which nnU-Net names .* cannot be read: .* Restore it"):
        collect_fold_results(roots, EXPERIMENT, ["fold_0"])
