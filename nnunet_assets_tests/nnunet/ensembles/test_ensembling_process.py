"""The masks and scores of an ensemble are those of nnU-Net's own functions, for labels, regions and an ignore label."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.validation.case_results import LabelScore, read_case_results
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.nnunet.ensembles.ensembling_process import make_ensembles, mean_probabilities
from nnunet_assets.nnunet.ensembles.ensembling_request import CaseToEnsemble, EnsemblingRequest, FoldToEnsemble
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.training_builders import PhantomProject

LABELS = {"labels": {"background": 0, "organ": 1, "tumour": 2}}
IGNORED = {"labels": {"background": 0, "organ": 1, "ignore": 2}}
REGIONS = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
ABSENT = {"labels": {"background": 0, "organ": 1, "tumour": 2, "ghost": 3}}
KINDS: dict[str, tuple[dict[str, Any], int, int]] = {
    "labels": (LABELS, 3, 2),
    "three members": (LABELS, 3, 3),
    "regions": (REGIONS, 2, 2),
    "ignore": (IGNORED, 2, 3),
    "absent": (ABSENT, 4, 2),
}
"""What dataset.json says, how many numbers a voxel has, and how many members there are. No case has a ghost."""


@pytest.fixture(scope="module")
def made(prepared_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FoldToEnsemble]:
    """Ensembles of random probabilities of two real cases, made as the process makes them."""
    folder = tmp_path_factory.mktemp("ensembles")
    folds = {kind: _fold(prepared_phantom, folder / kind, kind) for kind in KINDS}
    with nnunet_in_process({}):
        make_ensembles(EnsemblingRequest(2, tuple(folds.values())))
    return folds


def _fold(phantom: PhantomProject, folder: Path, kind: str) -> FoldToEnsemble:
    description, n_heads, n_members = KINDS[kind]
    prepared = phantom.prepared.folder
    (folder / "validation").mkdir(parents=True)
    (folder / "parts").mkdir()
    (folder / "model").mkdir()
    shutil.copyfile(prepared / "nnUNetPlans.json", folder / "model/plans.json")
    content = {**json.loads((prepared / "dataset.json").read_text()), **description}
    (folder / "model/dataset.json").write_text(json.dumps(content))
    cases_folder = prepared / "nnUNetPlans_3d_fullres"
    cases = sorted(path.stem for path in cases_folder.glob("*.pkl"))[:2]
    for case in cases:
        for member in range(n_members):
            _write_probabilities(folder / f"member_{member}", cases_folder, case, n_heads)
    to_ensemble = (
        CaseToEnsemble(
            case,
            tuple(folder / f"member_{member}" / f"{case}.npz" for member in range(n_members)),
            folder / "parts" / f"{case}.nii.gz",
            folder / "validation" / f"{case}.nii.gz",
        )
        for case in cases
    )
    return FoldToEnsemble(folder, folder / "model", cases_folder, phantom.prepared.references, tuple(to_ensemble))


def _write_probabilities(folder: Path, cases_folder: Path, case: str, n_heads: int) -> None:
    """Writes what `nnUNetv2_train --npz` does of a case, with random numbers."""
    from batchgenerators.utilities.file_and_folder_operations import load_pickle

    folder.mkdir(exist_ok=True)
    shape = load_pickle(cases_folder / f"{case}.pkl")["shape_before_cropping"]
    rng = np.random.default_rng([len(folder.parent.name), int(folder.name[-1]), n_heads])
    probabilities = rng.random((n_heads, *shape), dtype=np.float32)
    if folder.parent.name == "absent":
        probabilities[3] = 0
    np.savez(folder / f"{case}.npz", probabilities=probabilities)
    shutil.copyfile(cases_folder / f"{case}.pkl", folder / f"{case}.pkl")


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_byte_by_byte_those_of_nnunets_merge_files(
    made: dict[str, FoldToEnsemble], kind: str, tmp_path: Path
) -> None:
    from nnunetv2.ensembling.ensemble import merge_files
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    fold = made[kind]
    plans = PlansManager(str(fold.model_folder / "plans.json"))
    labels = plans.get_label_manager(json.loads((fold.model_folder / "dataset.json").read_text()))
    for case in fold.cases:
        files = [str(path) for path in case.probabilities]
        merge_files(files, str(tmp_path / case.name), ".nii.gz", plans.image_reader_writer_class(), labels)
        assert case.file.read_bytes() == (tmp_path / f"{case.name}.nii.gz").read_bytes()
        assert not case.part.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_nnunets_evaluation(made: dict[str, FoldToEnsemble], kind: str) -> None:
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics, load_summary_json
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    fold = made[kind]
    found = load_summary_json(str(fold.folder / SUMMARY_FILE))
    wanted: dict[str, list[Any]] = {"regions": [(1, 2), 2], "ignore": [1], "absent": [1, 2, 3]}
    values = wanted.get(kind, [1, 2])
    assert {*found["mean"]} == {*values}
    by_case = {Path(entry["prediction_file"]).name: entry["metrics"] for entry in found["metric_per_case"]}
    assert by_case.keys() == {f"{case.name}.nii.gz" for case in fold.cases}
    for case in fold.cases:
        reference = fold.references / case.file.name
        ignored = 2 if kind == "ignore" else None
        alone = compute_metrics(str(reference), str(case.file), SimpleITKIO(), values, ignored)["metrics"]
        dices = {value: scores["Dice"] for value, scores in by_case[case.file.name].items()}
        expected = {value: scores["Dice"] for value, scores in alone.items()}
        assert dices == pytest.approx(expected, abs=0, nan_ok=True)
        assert [value for value, dice in dices.items() if np.isnan(dice)] == ([3] if kind == "absent" else [])


def test_a_label_that_no_case_has_is_undefined_and_no_zero(made: dict[str, FoldToEnsemble]) -> None:
    fold = made["absent"]
    names = [case.name for case in fold.cases]
    cases = read_case_results(fold.folder, ABSENT["labels"], names, file_ending=".nii.gz")
    assert [case.scores["ghost"] for case in cases] == [LabelScore(None, None)] * 2
    assert all(case.scores["organ"].dice is not None for case in cases)


def test_members_are_added_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    # In float32, 1 + 2**-24 is 1, and 2**-24 + 2**-24 is not lost beside 1.
    for name, value in {"a": 1.0, "b": 2**-24, "c": 2**-24}.items():
        np.savez(tmp_path / f"{name}.npz", probabilities=np.full((1, 1, 1, 1), value, np.float32))
    first, last = (mean_probabilities([tmp_path / f"{name}.npz" for name in names]).item() for names in ("abc", "bca"))
    assert first == np.float32(1) / np.float32(3)
    assert last == np.float32(1 + 2**-23) / np.float32(3)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_mean_is_bit_by_bit_nnunets(tmp_path: Path, n: int) -> None:
    from nnunetv2.ensembling.ensemble import average_probabilities

    files = [tmp_path / f"{index}.npz" for index in range(n)]
    for index, file in enumerate(files):
        rng = np.random.default_rng(index)
        probabilities = rng.random((3, 4, 5, 6)).astype(np.float16 if index == 1 else np.float32)
        np.savez_compressed(file, probabilities=probabilities)
    assert np.array_equal(mean_probabilities(files), average_probabilities([str(file) for file in files]))
