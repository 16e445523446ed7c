"""Validation masks scored after postprocessing steps, from files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.evaluation.step_scores import case_step_scores, step_plan
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import SILENT
from nnunet_assets.nnunet.evaluation import step_scoring
from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folds
from nnunet_assets.nnunet.evaluation.step_scoring import ScoredSteps, score_steps
from nnunet_assets_tests.evaluation_builders import references_of, write_case
from nnunet_assets_tests.postprocessing_builders import island_folds, organ, write_folds

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
FOLDS = ["fold_0", "fold_1", "fold_2"]


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def scored(roots: Roots) -> ScoredSteps:
    model = EXPERIMENT.model_folder(roots)
    found = cases_of_folds(model, references_of(roots, EXPERIMENT), FOLDS, "the model")
    return score_steps(found, step_plan(found.description), model / "nnunet_assets/postprocessing", SILENT)


def test_masks_are_scored_as_nnunet_did_and_after_each_step(roots: Roots) -> None:
    write_folds(roots, EXPERIMENT, island_folds([0, 2, 4]))
    found = scored(roots)
    assert found.problems == ()
    assert {case: scores["organ"] for case, scores in found.cases.items()} == {
        name: {"reference_voxels": 56, **dict(zip(("00", "10", "01", "11"), (before, 1, 1, 1), strict=True))}
        for name, before in {"a00": 1.0, "b01": 112 / 114, "c02": 112 / 116}.items()
    }


def test_what_is_known_is_not_read_again(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folds(roots, EXPERIMENT, island_folds([0, 2, 4]))
    first, calls = scored(roots), []
    compute = case_step_scores
    monkeypatch.setattr(step_scoring, "case_step_scores", lambda *of: calls.append(of) or compute(*of))
    assert scored(roots) == first
    assert calls == []
    write_folds(roots, EXPERIMENT, island_folds([0, 2, 3]))
    assert scored(roots).cases["c02"]["organ"]["00"] == 112 / 115
    assert len(calls) == 1


def test_a_mask_that_was_changed_since_is_left_out_and_named(roots: Roots) -> None:
    model = write_folds(roots, EXPERIMENT, island_folds([0, 2, 4]))
    write_case(model / "fold_1/validation/b01.nii.gz", organ(4))
    found = scored(roots)
    assert sorted(found.cases) == ["a00", "c02"]
    assert "Case 'b01' of fold_1 is left out" in found.problems[0]
    assert "organ" in found.problems[0]


@pytest.mark.parametrize("damage", ["gone", "torn", "unknown value"])
def test_a_mask_that_cannot_be_read_is_left_out_and_named(roots: Roots, damage: str) -> None:
    model = write_folds(roots, EXPERIMENT, island_folds([0, 2, 4]))
    mask = model / "fold_0/validation/a00.nii.gz"
    if damage == "gone":
        mask.unlink()
    elif damage == "torn":
        mask.write_bytes(mask.read_bytes()[:60])
    else:
        write_case(mask, np.where(organ() == 2, 7, organ()).astype(np.uint8))
    found: Any = scored(roots)
    assert sorted(found.cases) == ["b01", "c02"]
    assert "a00" in found.problems[0]
