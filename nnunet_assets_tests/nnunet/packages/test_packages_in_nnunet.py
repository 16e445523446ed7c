"""Packages of a real training, used by nnU-Net as it is: read, installed from the zip, cleaned up after."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import nnunet_assets
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.package_zip import place_in_results, write_package_zip
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.usable import usable_experiment
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.package_builders import ABOUT
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject


@pytest.fixture(scope="module")
def used(trained_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where nnU-Net left what it predicts with the folds, with their package and with the zip that it installed."""
    folder = tmp_path_factory.mktemp("used")
    variables = {**trained_phantom.environment, **trained_phantom.roots.environment()}
    settings = Settings.from_environment(folder, variables)
    model = usable_experiment(settings, EXPERIMENT, FOLDS, [(1,), (1, 2)])
    package = write_package(model, ABOUT, folder / "package")
    write_package_zip(package, folder / "model.zip")
    installed = folder / "results" / place_in_results(package)
    image = trained_phantom.roots.raw / DATASET / "imagesTr" / "phantom_000_0000.nii.gz"
    with nnunet_in_process(trained_phantom.roots.environment()), pytest.MonkeyPatch.context() as patch:
        from nnunetv2.model_sharing import model_import

        patch.setattr(model_import, "nnUNet_results", str(folder / "results"))
        model_import.install_model_from_zip_file(str(folder / "model.zip"))
        for number, place in enumerate((model.members[0].folder, package.folder, installed)):
            _predict(place, image, folder / "out" / str(number))
        _write_pieces(folder / "out" / "0" / "case.nii.gz", folder / "out" / "pieces")
        _clean_up(package.folder, folder / "out" / "pieces", folder / "out" / "cleaned", patch)
    return folder


def _predict(model: Path, image: Path, out: Path) -> None:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    out.mkdir(parents=True)
    predictor = nnUNetPredictor(perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (0, 1), "checkpoint_final.pth")
    predictor.predict_from_files_sequential([[str(image)]], [str(out / "case")], save_probabilities=False)


def _write_pieces(like: Path, out: Path) -> None:
    """Writes a mask with more than one piece of each label, which a short training may not leave."""
    import SimpleITK

    mask = SimpleITK.ReadImage(str(like))
    pieces = np.zeros_like(SimpleITK.GetArrayFromImage(mask))
    pieces[1:5, 1:5, 1:5] = 1
    pieces[5:7, 1:5, 1:5] = 2
    pieces[1:3, 8:10, 8:10] = 1
    pieces[6:8, 8:10, 8:10] = 2
    made = SimpleITK.GetImageFromArray(pieces)
    made.CopyInformation(mask)
    out.mkdir()
    SimpleITK.WriteImage(made, str(out / "case.nii.gz"))


def _clean_up(package: Path, masks: Path, out: Path, patch: pytest.MonkeyPatch) -> None:
    from batchgenerators.utilities.file_and_folder_operations import load_pickle
    from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing_to_folder

    patch.chdir(package)
    exec(_line(), {})
    steps = load_pickle(str(package / "postprocessing.pkl"))
    shutil.copy(package / "dataset.json", masks)
    apply_postprocessing_to_folder(str(masks), str(out), *steps, str(package / "plans.json"), num_processes=1)


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
