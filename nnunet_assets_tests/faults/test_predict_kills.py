"""`predict` killed at random moments: no mask is torn, none that was finished is made again, the next run finishes.

And what it makes by several models, a postprocessing and probabilities, beside nnU-Net's own functions.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets_tests.faults.predict_trials import ALONE, PredictTrial, die_at_random_moments
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

N_CASES, N_KILLS = 12, 20


@pytest.fixture(scope="module")
def member(trained_phantom: PhantomProject) -> Member:
    return finished_ensemble(trained_phantom.roots, EXPERIMENT, FOLDS).member


@pytest.fixture
def images(tmp_path: Path, trained_phantom: PhantomProject) -> Path:
    """The phantom's images, each twice."""
    (tmp_path / "images").mkdir()
    found = sorted((trained_phantom.roots.raw / DATASET / "imagesTr").iterdir())
    for index in range(N_CASES):
        shutil.copyfile(found[index % len(found)], tmp_path / "images" / f"case_{index:02d}_0000.nii.gz")
    return tmp_path / "images"


def packed(member: Member, *models: tuple[str, ...], steps: Sequence[Step] = ()) -> UsableModel:
    """Returns a model whose members are these folds, a variant each."""
    members = [
        replace(member, experiment=replace(EXPERIMENT, variant=f"v{number}"), folds=folds)
        for number, folds in enumerate(models)
    ]
    return UsableModel("phantom", tuple(members), tuple(steps), "0" * 64)


@pytest.mark.parametrize(
    ("models", "flags"),
    [((("fold_0",),), ()), ((("fold_0",), ("fold_1",)), ("--save_probabilities",))],
    ids=["one member", "two members, with probabilities"],
)
def test_a_prediction_killed_at_random_moments_is_finished_by_the_next_run(
    tmp_path: Path,
    images: Path,
    member: Member,
    models: tuple[tuple[str, ...], ...],
    flags: tuple[str, ...],
) -> None:
    write_package(packed(member, *models, steps=((1, 2),)), AboutModel(), tmp_path / "package")
    trial = PredictTrial(tmp_path, tmp_path / "package", images, ("--disable_tta", *flags))
    n_left = die_at_random_moments(trial, tmp_path, N_KILLS)
    assert len(n_left) >= 3, n_left


OF_NNUNET = """
import json, sys
from pathlib import Path
import torch
from nnunetv2.ensembling.ensemble import ensemble_folders
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

if __name__ == "__main__":
    model, images, output = map(Path, sys.argv[1:4])
    folders = []
    for fold in (0, 1):
        predictor = nnUNetPredictor(tile_step_size=0.7, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(model), (fold,))
        folders.append(str(output / f"of_{fold}"))
        Path(folders[-1]).mkdir(parents=True)
        predictor.predict_from_files_sequential(str(images), folders[-1], save_probabilities=True)
    ensemble_folders(folders, str(output / "ensemble"), save_merged_probabilities=True, num_processes=1)
    reader_writer = predictor.plans_manager.image_reader_writer_class()
    (output / "cleaned").mkdir()
    for file in (output / "ensemble").glob("*.nii.gz"):
        mask, properties = reader_writer.read_seg(str(file))
        steps = [{"labels_or_regions": [1, 2]}, {"labels_or_regions": 2}]
        step = remove_all_but_largest_component_from_segmentation
        cleaned = apply_postprocessing(mask[0], [step, step], steps)
        reader_writer.write_seg(cleaned, str(output / "cleaned" / file.name), properties)
"""


def test_an_ensemble_and_its_postprocessing_are_nnunets_bit_by_bit(
    tmp_path: Path, images: Path, member: Member, trained_phantom: PhantomProject
) -> None:
    """The two folds as two models of one ensemble: nnU-Net's own functions make the same of them."""
    import numpy as np

    for path in sorted(images.iterdir())[2:]:
        path.unlink()
    (tmp_path / "of_nnunet.py").write_text(OF_NNUNET)
    theirs = tmp_path / "theirs"
    subprocess.run(
        [sys.executable, tmp_path / "of_nnunet.py", member.folder, images, theirs],
        env={**os.environ, **ALONE, **trained_phantom.roots.environment()},
        check=True,
        capture_output=True,
    )
    model = packed(member, ("fold_0",), ("fold_1",), steps=((1, 2), (2,)))
    write_package(model, AboutModel(), tmp_path / "package")
    flags = ("-step_size", "0.7", "--no-previews")
    raw = PredictTrial(tmp_path, tmp_path / "package", images, (*flags, "--save_probabilities", "--no-postprocessing"))
    raw.run(tmp_path / "raw")
    PredictTrial(tmp_path, tmp_path / "package", images, flags).run(tmp_path / "cleaned")

    for ours, folder in ((tmp_path / "raw", "ensemble"), (tmp_path / "cleaned", "cleaned")):
        found = {path.name: path.read_bytes() for path in ours.glob("*.nii.gz")}
        assert len(found) == 2
        assert found == {path.name: path.read_bytes() for path in (theirs / folder).glob("*.nii.gz")}
    for path in (tmp_path / "raw").glob("*.npz"):
        mean, of_nnunet = (np.load(one)["probabilities"] for one in (path, theirs / "ensemble" / path.name))
        assert mean.dtype == of_nnunet.dtype == np.float32
        assert np.array_equal(mean, of_nnunet)
