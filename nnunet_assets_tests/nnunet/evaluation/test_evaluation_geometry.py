"""Distances of an evaluation are by the spacing that nnU-Net's reader takes; what was kept knows by which reader."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.nnunet.evaluation.evaluation import evaluate_cases
from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables
from nnunet_assets_tests.raw_builders import tiny_json, write_json

CUBE = np.zeros((20, 20, 20), np.uint8)
CUBE[5:12, 5:12, 5:12] = 1
LABELS = {"background": 0, "organ": 1}
MM, METRES, MICROMETRES = 2, 1, 3


def write_nifti(path: Path, voxels: np.ndarray, spacing: float, unit: int = MM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, np.diag([spacing, spacing, spacing, 1.0]))
    image.header["xyzt_units"] = unit
    path.write_bytes(gzip.compress(image.to_bytes()) if path.suffix == ".gz" else image.to_bytes())
    return path


def write_tiff(path: Path, voxels: np.ndarray, spacing: float | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, voxels)
    if spacing:
        write_json(path.with_suffix(".json"), {"spacing": [spacing] * 3})
    return path


def evaluate(folder: Path, ending: str, **description: Any) -> Evaluation:
    """Evaluates `predictions` against `references`, of a shift by one voxel."""
    write_json(folder / "dataset.json", tiny_json(labels=LABELS, file_ending=ending, **description))
    found = cases_of_folders(folder / "predictions", folder / "references", folder / "dataset.json")
    policy = metric_policy(found.description)
    output = folder / "evaluation"
    return evaluate_cases(found, policy, output, write_table=write_case_table, write_labels=write_label_tables)


def hd95_mm(folder: Path) -> float:
    (row,) = pq.read_table(folder / "evaluation" / "cases.parquet").to_pylist()
    return float(row["hd95_mm"])


@pytest.mark.parametrize(
    ("reference", "prediction", "mm"),
    [
        ((10.0, MICROMETRES), (10.0, MICROMETRES), 0.01),
        ((10.0, MICROMETRES), (0.01, MM), 0.01),
        ((0.002, METRES), (2.0, MM), 2.0),
        ((2.0, MM), (2.0, 0), 2.0),
    ],
)
def test_units_are_converted(
    tmp_path: Path, reference: tuple[float, int], prediction: tuple[float, int], mm: float
) -> None:
    write_nifti(tmp_path / "references/a.nii.gz", CUBE, *reference)
    write_nifti(tmp_path / "predictions/a.nii.gz", np.roll(CUBE, 1, 0), *prediction)
    assert evaluate(tmp_path, ".nii.gz").problems == ()
    assert hd95_mm(tmp_path) == pytest.approx(mm)


def test_one_number_in_two_units_is_two_spacings(tmp_path: Path) -> None:
    write_nifti(tmp_path / "references/a.nii.gz", CUBE, 10.0, MICROMETRES)
    write_nifti(tmp_path / "predictions/a.nii.gz", CUBE, 10.0, MM)
    (problem,) = evaluate(tmp_path, ".nii.gz").problems
    assert "has a spacing of 10 × 10 × 10 mm, its reference 0.01 × 0.01 × 0.01." in problem.message


@pytest.mark.parametrize("by", ["the ending", "dataset.json", "the plans"])
def test_a_unit_that_the_models_reader_ignores_is_refused(tmp_path: Path, by: str) -> None:
    ending = ".nii" if by == "the ending" else ".nii.gz"
    for folder in ("references", "predictions"):
        write_nifti(tmp_path / folder / f"a{ending}", CUBE, 10.0, MICROMETRES)
    if by == "the plans":
        write_json(tmp_path / "predictions/plans.json", {"image_reader_writer": "NibabelIO"})
    declared = {"overwrite_image_reader_writer": "NibabelIO"} if by == "dataset.json" else {}
    (problem,) = evaluate(tmp_path, ending, **declared).problems
    assert "micrometres by its header (xyzt_units), which NibabelIO, nnU-Net's reader of it" in problem.message


def test_another_reader_is_another_evaluation(tmp_path: Path) -> None:
    """Though both readers may take the same: nothing that was measured by one is the other's."""
    for folder in ("references", "predictions"):
        write_nifti(tmp_path / folder / "a.nii.gz", CUBE, 2.0)
    assert [evaluate(tmp_path, ".nii.gz").n_computed for _ in range(2)] == [1, 0]
    assert evaluate(tmp_path, ".nii.gz", overwrite_image_reader_writer="NibabelIO").n_computed == 1


class TestTiff:
    def test_the_spacing_is_the_sidecars(self, tmp_path: Path) -> None:
        write_tiff(tmp_path / "references/a.tif", CUBE, 3.0)
        write_tiff(tmp_path / "predictions/a.tif", np.roll(CUBE, 1, 0), 3.0)
        assert evaluate(tmp_path, ".tif").problems == ()
        assert hd95_mm(tmp_path) == pytest.approx(3.0)

    @pytest.mark.parametrize("without", ["references", "predictions"])
    def test_one_without_a_sidecar_has_the_others(self, tmp_path: Path, without: str) -> None:
        """nnU-Net copies references into gt_segmentations without their sidecars."""
        for folder, shift in (("references", 0), ("predictions", 1)):
            write_tiff(tmp_path / folder / "a.tif", np.roll(CUBE, shift, 0), None if folder == without else 3.0)
        assert evaluate(tmp_path, ".tif").problems == ()
        assert hd95_mm(tmp_path) == pytest.approx(3.0)

    def test_sidecars_that_differ_are_a_problem(self, tmp_path: Path) -> None:
        write_tiff(tmp_path / "references/a.tif", CUBE, 3.0)
        write_tiff(tmp_path / "predictions/a.tif", CUBE, 2.0)
        (problem,) = evaluate(tmp_path, ".tif").problems
        assert "has a spacing of 2 × 2 × 2 mm, its reference 3 × 3 × 3." in problem.message

    def test_a_sidecar_that_changes_comes_or_goes_is_measured_anew(self, tmp_path: Path) -> None:
        reference = write_tiff(tmp_path / "references/a.tif", CUBE, 3.0)
        prediction = write_tiff(tmp_path / "predictions/a.tif", np.roll(CUBE, 1, 0), 3.0)
        assert [evaluate(tmp_path, ".tif").n_computed for _ in range(2)] == [1, 0]
        for spacing in (4.0, None):
            for path in (reference, prediction):
                path.with_suffix(".json").unlink()
                write_tiff(path, tifffile.imread(path), spacing)
            assert evaluate(tmp_path, ".tif").n_computed == 1
            assert hd95_mm(tmp_path) == pytest.approx(spacing or 1.0)
