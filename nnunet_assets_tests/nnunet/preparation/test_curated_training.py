"""Real nnU-Net on a curated raw root: fingerprint, plans, cases, references, training and validation."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.nnunet.importing.phantom import write_phantom
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets_tests.training_builders import DATASET, TINY, PhantomProject, roots_in

# Two preparations and a training: two minutes on two busy cores.
pytestmark = pytest.mark.faults


def test_a_fold_is_trained_and_validated_without_the_case_in_quarantine_and_on_the_repaired_label(
    tmp_path: Path,
) -> None:
    project = PhantomProject(roots_in(tmp_path))
    raw = write_phantom(project.roots.raw, DATASET, n_cases=5)
    out, moved, *_ = sorted(path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").iterdir())
    label = raw / "labelsTr" / f"{moved}.nii.gz"
    image = nibabel.load(label)
    affine = image.affine + np.array([[0, 0, 0, 0.05]] + 3 * [[0, 0, 0, 0]])
    nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine).to_filename(label)
    before = {path: file_sha256(path) for path in raw.rglob("*") if path.is_file()}
    found, curated = look_at_raw_data(project.roots, DATASET, 2, Curation({out: "trial"}, 0.1))
    splits = ensure_splits(project.roots, DATASET, SplitSettings(2))
    fold = next(f"fold_{index}" for index, split in enumerate(splits.folds) if moved in split["val"])

    project.prepare()
    project.train(fold, overrides=TINY | {"num_epochs": 1})

    preprocessed = project.prepared.folder
    assert out not in found.cases
    fingerprint = json.loads((preprocessed / "dataset_fingerprint.json").read_text())
    assert len(fingerprint["spacings"]) == 4
    assert {path.stem for path in (preprocessed / "nnUNetPlans_3d_fullres").glob("*.pkl")} == set(found.cases)
    references = preprocessed / "gt_segmentations"
    assert {path.name.removesuffix(".nii.gz") for path in references.iterdir()} == set(found.cases)
    copy = curated.raw_root / DATASET / "labelsTr" / label.name
    assert (references / label.name).read_bytes() == copy.read_bytes() != label.read_bytes()
    summary = json.loads((project.folder(fold) / "validation" / "summary.json").read_text())
    validated = {Path(case["reference_file"]).name.removesuffix(".nii.gz") for case in summary["metric_per_case"]}
    assert moved in validated <= set(found.cases)
    assert {path: file_sha256(path) for path in raw.rglob("*") if path.is_file()} == before
    assert project.prepare().made == ()
    look_at_raw_data(project.roots, DATASET, 2, Curation({}, 0.1))
    assert "3d_fullres" in project.prepare().made
