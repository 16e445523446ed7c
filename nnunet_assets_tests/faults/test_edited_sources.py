"""One voxel, byte or digit of what results rest on is another: the verification of the results finds it."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets.core.progress import Silent
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.verify import verify
from nnunet_assets_tests.verification_builders import (
    DATASET,
    EXPERIMENT,
    LONG,
    export_all,
    exported_files,
    finished_project,
    summarize,
)

pytestmark = pytest.mark.faults

TRIALS = 8
"""Of each source."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = finished_project(tmp_path_factory.mktemp("edited") / "project")
    summarize(settings)
    export_all(settings)
    return settings


def voxel(file: Path, draw: random.Random) -> None:
    image = nibabel.load(file)
    voxels = np.asanyarray(image.dataobj).copy()
    place = tuple(draw.randrange(size) for size in voxels.shape)
    voxels[place] = draw.choice([value for value in (0, 1, 2) if value != voxels[place]])
    nibabel.Nifti1Image(voxels, image.affine).to_filename(file)


def byte(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def digit(file: Path, draw: random.Random) -> None:
    content = file.read_text()
    # Of a fraction the first digits: means that were summed on another machine may have other last ones.
    late = {place for found in re.finditer(r"\.\d{6}(\d+)", content) for place in range(*found.span(1))}
    named = {place for found in re.finditer(r'"(subject|schema)": .*', content) for place in range(*found.span())}
    odd = late | named
    place = draw.choice([place for place, letter in enumerate(content) if letter.isdecimal() and place not in odd])
    other = draw.choice([one for one in "0123456789" if one != content[place]])
    file.write_text(content[:place] + other + content[place + 1 :])


SOURCES: dict[str, tuple[str, Callable[[Path, random.Random], None]]] = {
    "validation mask": ("model/fold_0/validation/b.nii.gz", voxel),
    "reference": ("preprocessed/gt_segmentations/f.nii.gz", voxel),
    "test mask": ("own/test_predictions/new_2.nii.gz", byte),
    "test reference": ("raw/labelsTs/new_1.nii.gz", voxel),
    "test image": ("raw/imagesTs/new_1_0000.nii.gz", byte),
    "checkpoint": ("model/fold_1/checkpoint_final.pth", byte),
    "scores of nnU-Net": ("model/fold_1/validation/summary.json", digit),
    "manifest": ("model/fold_0/.nnunet_assets/manifest.json", byte),
    "plans of the model": ("model/plans.json", digit),
    "plans": ("preprocessed/nnUNetPlans.json", digit),
    "split": ("preprocessed/splits_final.json", byte),
    "image": ("raw/imagesTr/g_0000.nii.gz", byte),
    "label": ("raw/labelsTr/h.nii.gz", byte),
    "dataset.json": ("raw/dataset.json", digit),
    "dataset.json of the model": ("model/dataset.json", digit),
    "summary": ("own/cv_summary.json", digit),
    "gap": ("own/test_evaluation/gap.json", digit),
    "evaluation": ("own/evaluation/evaluation.json", digit),
    "table of cases": ("own/evaluation/cases.csv", digit),
    "table of test cases": ("own/test_evaluation/cases.csv", digit),
    "comparison": ("dataset/comparison.json", digit),
    "what it is compared with": ("long/fold_0/validation/a.nii.gz", voxel),
}
EXPORTS = ("cv_table.tex", "gap.json", "evaluation.json", "comparison_table.csv", "test cases.csv", "cases.csv")


@pytest.mark.parametrize("source", SOURCES)
def test_whatever_is_edited_is_found(project: Settings, tmp_path: Path, source: str) -> None:
    name, edit = SOURCES[source]
    place, _, path = name.partition("/")
    roots = project.roots
    folder = {
        "model": EXPERIMENT.model_folder(roots),
        "own": EXPERIMENT.summary_folder(roots),
        "preprocessed": roots.preprocessed / DATASET,
        "raw": roots.raw / DATASET,
        "dataset": comparison_folder(roots, DATASET),
        "long": LONG.model_folder(roots),
    }[place]
    file, kept = folder / path, tmp_path / "kept"
    shutil.copy2(file, kept)
    draw = random.Random(source)
    files = [exported_files(project)[export] for export in EXPORTS]
    try:
        for _ in range(TRIALS):
            edit(file, draw)
            found = verify(project, files, Silent())
            assert any(one.verdict != "holds" for one in found), (source, file.read_bytes()[:200])
            shutil.copy2(kept, file)
    finally:
        shutil.copy2(kept, file)
    assert all(one.verdict == "holds" for one in verify(project, files, Silent()))
