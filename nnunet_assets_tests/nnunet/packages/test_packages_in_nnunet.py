"""Packages of a real training, used by nnU-Net as it is: read, installed from the zip, cleaned up after."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnunet_assets
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.package_zip import place_in_results, write_package_zip
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.usable import usable_experiment
from nnunet_assets_tests.nnunet_in_process import SPAWNED_IN_THREADS
from nnunet_assets_tests.package_builders import ABOUT
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

BY_NNUNET = """
import os, shutil, sys
from pathlib import Path
import SimpleITK
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing.model_import import install_model_from_zip_file
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing_to_folder
from batchgenerators.utilities.file_and_folder_operations import load_pickle

out, image, zipped, line, *models = sys.argv[1:]
install_model_from_zip_file(zipped)
for number, model in enumerate(models):
    predictor = nnUNetPredictor(perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, (0, 1), "checkpoint_final.pth")
    Path(f"{out}/{number}").mkdir()
    predictor.predict_from_files_sequential([[image]], [f"{out}/{number}/case"], save_probabilities=False)
# A mask with more than one piece of each label, which a short training may not leave.
Path(f"{out}/pieces").mkdir()
mask = SimpleITK.ReadImage(f"{out}/0/case.nii.gz")
pieces = SimpleITK.GetArrayFromImage(mask)
pieces[:] = 0
pieces[1:5, 1:5, 1:5] = 1
pieces[5:7, 1:5, 1:5] = 2
pieces[1:3, 8:10, 8:10] = 1
pieces[6:8, 8:10, 8:10] = 2
made = SimpleITK.GetImageFromArray(pieces)
made.CopyInformation(mask)
SimpleITK.WriteImage(made, f"{out}/pieces/case.nii.gz")
os.chdir(models[1])
exec(line)
steps = load_pickle(f"{models[1]}/postprocessing.pkl")
shutil.copy(f"{models[0]}/dataset.json", f"{out}/pieces")
apply_postprocessing_to_folder(f"{out}/pieces", f"{out}/cleaned", *steps, f"{models[0]}/plans.json", num_processes=1)
"""


@pytest.fixture(scope="module")
def used(trained_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where nnU-Net left what it predicts with the folds, with their package and with the zip that it installed."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "out").mkdir()
    variables = {**trained_phantom.environment, **trained_phantom.roots.environment()}
    settings = Settings.from_environment(folder, variables)
    model = usable_experiment(settings, EXPERIMENT, FOLDS, [(1,), (1, 2)])
    package = write_package(model, ABOUT, folder / "package")
    write_package_zip(package, folder / "model.zip")
    installed = folder / "results" / place_in_results(package)
    image = trained_phantom.roots.raw / DATASET / "imagesTr" / "phantom_000_0000.nii.gz"
    models = [model.members[0].folder, package.folder, installed]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SPAWNED_IN_THREADS + BY_NNUNET,
            folder / "out",
            image,
            folder / "model.zip",
            _line(),
            *models,
        ],
        env={**os.environ, **trained_phantom.roots.environment(), "nnUNet_results": str(folder / "results")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _line() -> str:
    """Returns what the page on packages has, to make nnU-Net's postprocessing.pkl of the steps."""
    page = Path(nnunet_assets.__file__).parents[1] / "docs" / "packages.md"
    (line,) = re.findall(r'^python -c "(.*)"$', page.read_text(), re.MULTILINE)
    return str(line)


def test_nnunet_predicts_the_same_with_the_folds_their_package_and_the_installed_zip(used: Path) -> None:
    folds, package, installed = ((used / "out" / str(number) / "case.nii.gz").read_bytes() for number in range(3))
    assert folds == package == installed


def test_the_zip_installs_the_package_and_nothing_beside(used: Path) -> None:
    assert {path.name for path in (used / "results").rglob("*") if path.is_file()} == {
        "model.json",
        "plans.json",
        "dataset.json",
        "postprocessing.json",
        "checkpoint_final.pth",
    }


def test_nnunet_cleans_up_by_the_pickle_that_is_made_of_the_steps(used: Path) -> None:
    from nnunetv2.postprocessing.remove_connected_components import (
        remove_all_but_largest_component_from_segmentation as clean,
    )

    mask, cleaned = (read_volume(used / "out" / name / "case.nii.gz").stored for name in ("pieces", "cleaned"))
    wanted = clean(clean(mask, [1]), [1, 2])
    assert not np.array_equal(cleaned, mask)
    assert np.array_equal(cleaned, wanted)
