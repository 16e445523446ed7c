"""A cascade that is really trained: its experiment, its package and its zip predict what nnU-Net predicts."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets_tests.faults.predict_trials import ALONE, PredictTrial, die_at_random_moments
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.training_builders import DATASET, FOLDS, TINY, PhantomProject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

VARIANT = "{name: tiny, " + ", ".join(f"{name}: {number}" for name, number in TINY.items()) + "}"
DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}, folds: 2}}
""" + "".join(
    f"""---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: {stage}, plans: CascadePlans, variant: {VARIANT}}}
"""
    for stage in ("3d_lowres", "3d_cascade_fullres")
)
N_CASES = 4
SEQUENTIAL = ("-npp", "0", "-nps", "0", "-device", "cpu")


@dataclass(frozen=True)
class Cascade:
    """The trained stages in a project, and new images."""

    project: PhantomProject
    settings: Settings
    lowres: Experiment
    fullres: Experiment
    images: Path

    def run(self, program: str, *words: object, results: Path | None = None) -> str:
        """Runs a command of ours or of nnU-Net's in the project."""
        roots = self.settings.roots.for_variant("tiny")
        variables = {
            **os.environ,
            **ALONE,
            **(roots if results is None else replace(roots, results=results)).environment(),
        }
        if program == "nnunet-assets":
            variables = {**os.environ, **ALONE, "NNUNET_ASSETS_PROJECT": str(self.settings.project)}
        command = [str(Path(sys.executable).with_name(program)), *map(str, words)]
        done = subprocess.run(
            command, cwd=self.settings.project, env=variables, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def predict(self, model: object, output: Path, *flags: str) -> str:
        return self.run("nnunet-assets", "predict", model, self.images, "-o", output, "-device", "cpu", *flags)

    def predict_by_nnunet(self, output: Path, results: Path | None = None) -> Path:
        """Returns the masks of the second stage, which reads those of the first one."""
        for stage, words in ((self.lowres, ()), (self.fullres, ("-prev_stage_predictions", output / "3d_lowres"))):
            model = ("-d", DATASET, "-c", stage.configuration, "-p", "CascadePlans", "-f", "0", "1")
            folder = output / stage.configuration
            self.run("nnUNetv2_predict", "-i", self.images, "-o", folder, *model, *words, *SEQUENTIAL, results=results)
        return output / "3d_cascade_fullres"


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    root = tmp_path_factory.mktemp("cascade")
    settings = Settings.from_environment(write_project(root, {"defs.yaml": DECLARED}), {})
    project = PhantomProject(settings.roots, n_cases=N_CASES).build()
    project.prepare()
    stages = project.prepare_cascade()
    for stage in stages:
        for fold in FOLDS:
            project.train(fold, stage)
    (root / "images").mkdir()
    for index, image in enumerate(sorted((settings.roots.raw / DATASET / "imagesTr").iterdir())[:2]):
        shutil.copyfile(image, root / "images" / f"new_{index}_0000.nii.gz")
    return Cascade(project, settings, *stages, root / "images")


def masks(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


def test_a_cascade_and_its_package_and_zip_predict_what_nnunet_predicts(cascade: Cascade, tmp_path: Path) -> None:
    name = "/".join(cascade.fullres.key_prefix)
    wanted = masks(cascade.predict_by_nnunet(tmp_path / "nnunet"))
    assert len(wanted) == 2
    # A stage that reads nothing of the one before would pass everything below.
    assert wanted != masks(tmp_path / "nnunet" / "3d_lowres")

    said = cascade.predict(name, tmp_path / "experiment")
    assert "predicts first, which the cascade starts from" in said
    assert masks(tmp_path / "experiment") == wanted

    for package in (tmp_path / "package", tmp_path / "package.zip"):
        cascade.run("nnunet-assets", "package", name, "-o", package)
        cascade.predict(package, tmp_path / f"by_{package.name}")
        assert masks(tmp_path / f"by_{package.name}") == wanted

    installed = tmp_path / "installed"
    installed.mkdir()
    cascade.run("nnUNetv2_install_pretrained_model_from_zip", tmp_path / "package.zip", results=installed)
    (model,) = installed.rglob("model.json")
    first, second = (
        next(model.parent.rglob(f"*{stage.configuration}*")) for stage in (cascade.lowres, cascade.fullres)
    )
    for folder, words in (
        (first, ()),
        (second, ("-prev_stage_predictions", tmp_path / "zip" / first.name)),
    ):
        output = tmp_path / "zip" / folder.name
        model_words = ("-m", folder, "-i", cascade.images, "-o", output, "-f", "0", "1")
        # This command knows no other way than by processes.
        alone = ("-npp", "1", "-nps", "1", "-device", "cpu")
        cascade.run("nnUNetv2_predict_from_modelfolder", *model_words, *words, *alone, results=installed)
    assert masks(tmp_path / "zip" / second.name) == wanted


def test_a_cascade_in_which_the_first_stage_died_goes_on_from_the_masks_that_are_there(
    cascade: Cascade, tmp_path: Path
) -> None:
    name, output = "/".join(cascade.fullres.key_prefix), tmp_path / "out"
    cascade.predict(name, output, "--save_probabilities")
    wanted, probabilities = masks(output), (output / "new_1.npz").read_bytes()
    (output / "new_1.nii.gz").unlink()
    (stage,) = (output / ".nnunet_assets" / "stages").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in stage.iterdir()}
    (stage / "new_1.nii.gz").unlink()
    cascade.predict(name, output, "--save_probabilities")
    assert masks(output) == wanted
    assert (output / "new_1.npz").read_bytes() == probabilities
    assert (stage / "new_0.nii.gz").stat().st_mtime_ns == before["new_0.nii.gz"]


def test_a_cascade_killed_at_random_moments_is_finished_by_the_next_run(cascade: Cascade, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(6):
        image = cascade.images / f"new_{index % 2}_0000.nii.gz"
        shutil.copyfile(image, tmp_path / "images" / f"new_{index}_0000.nii.gz")
    name = "/".join(cascade.fullres.key_prefix)
    trial = PredictTrial(cascade.settings.project, name, tmp_path / "images", ("--disable_tta",))
    assert sum(die_at_random_moments(trial, tmp_path, 12, n_stages=2).values()) == 12
