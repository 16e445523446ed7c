"""Ensembles of a cascade and of folds that plain nnU-Net trained, really trained, against nnU-Net's own ensembling."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, read_committed
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.nnunet.ensembles.ensembling import Ensembled, Wanted, make_ensembles
from nnunet_assets.nnunet.preparation.planning import prepare
from nnunet_assets.nnunet.probabilities.finished_member import finished_member
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets_tests.training_builders import DATASET, FOLDS, SHORT_TRAINER, PhantomProject, roots_in

pytestmark = pytest.mark.faults

LOWRES = Experiment(DATASET, "3d_lowres", plans="CascadePlans", variant="tiny")
CASCADE = replace(LOWRES, configuration="3d_cascade_fullres")
ADOPTED = Experiment(DATASET, "3d_fullres", trainer="nnUNetTrainerShort")
ENSEMBLE = Experiment.ensemble(DATASET, "odd")
WANTED = Wanted("odd", (ADOPTED, CASCADE), keeps_probabilities=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    """A cascade that was trained here, and folds of plain nnU-Net that were adopted, all of them with `--npz`."""
    folder = tmp_path_factory.mktemp("odd_members")
    (folder / "trainers").mkdir()
    (folder / "trainers" / "nnUNetTrainerShort.py").write_text(SHORT_TRAINER)
    built = PhantomProject(roots_in(folder)).build()
    own = {"nnUNet_extTrainer": str(folder / "trainers"), "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    project = replace(built, environment={**built.environment, **own})
    project.prepare()
    write_cascade_plans(project)
    for experiment in (LOWRES, CASCADE):
        for fold in FOLDS:
            project.train(fold, experiment, options=TrainingOptions(npz=True))
    for fold in FOLDS:
        words = [DATASET, ADOPTED.configuration, fold.removeprefix("fold_"), "-tr", ADOPTED.trainer, "--npz"]
        subprocess.run(
            [sys.executable, "-m", "nnunetv2.run.run_training", *words, "-device", "cpu"],
            env={**project.environment, **project.roots.environment()},
            check=True,
            capture_output=True,
        )
        adopt_fold(project.folder(fold, ADOPTED))
    return project


def write_cascade_plans(project: PhantomProject) -> None:
    plans = json.loads(project.prepared.plans_file("nnUNetPlans").read_text())
    full = plans["configurations"]["3d_fullres"]
    plans["plans_name"] = LOWRES.plans
    plans["configurations"]["3d_lowres"] = {
        **full,
        "data_identifier": "CascadePlans_3d_lowres",
        "spacing": [2 * mm for mm in full["spacing"]],
        "next_stage": "3d_cascade_fullres",
    }
    plans["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    project.prepared.plans_file(LOWRES.plans).write_text(json.dumps(plans))
    prepare(
        project.roots,
        DATASET,
        LOWRES.plans,
        configurations=["3d_lowres", "3d_cascade_fullres"],
        trainers=["nnUNetTrainer"],
        environment=project.environment,
    )


def made(project: PhantomProject) -> Ensembled:
    return make_ensembles(project.roots, DATASET, [WANTED], FOLDS, device="cpu", environment=project.environment)


@pytest.fixture(scope="module")
def ensembled(project: PhantomProject) -> PhantomProject:
    assert made(project) == Ensembled(12, {"odd": FOLDS})
    assert made(project) == Ensembled(0, {})
    return project


@pytest.mark.parametrize("experiment", [CASCADE, ADOPTED], ids=["cascade", "adopted"])
def test_probabilities_are_bit_by_bit_those_of_the_validation(
    ensembled: PhantomProject, experiment: Experiment
) -> None:
    for fold in FOLDS:
        member = finished_member(ensembled.roots, experiment, fold)
        assert len(member.cases) == 3
        for case in member.cases:
            expected = np.load(ensembled.folder(fold, experiment) / "validation" / f"{case}.npz")["probabilities"]
            found = np.load(member.store(ensembled.roots).file(case))["probabilities"]
            assert np.array_equal(found, expected)


def test_masks_are_byte_by_byte_those_of_nnunets_merge_files(ensembled: PhantomProject, tmp_path: Path) -> None:
    from nnunetv2.ensembling.ensemble import merge_files
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    # The members' names say in which order they are added.
    ordered = sorted((ADOPTED, CASCADE), key=lambda one: one.name_in_dataset)
    model = ordered[0].model_folder(ensembled.roots)
    plans = PlansManager(str(model / "plans.json"))
    labels = plans.get_label_manager(json.loads((model / "dataset.json").read_text()))
    n = 0
    for fold in FOLDS:
        for case in finished_member(ensembled.roots, ADOPTED, fold).cases:
            files = [str(ensembled.folder(fold, one) / "validation" / f"{case}.npz") for one in ordered]
            merge_files(files, str(tmp_path / case), ".nii.gz", plans.image_reader_writer_class(), labels)
            mask = ensembled.folder(fold, ENSEMBLE) / "validation" / f"{case}.nii.gz"
            assert mask.read_bytes() == (tmp_path / f"{case}.nii.gz").read_bytes()
            n += 1
    assert n == 6


def test_it_is_summarized_and_what_is_unknown_of_the_adopted_member_is_unknown_of_it(
    ensembled: PhantomProject,
) -> None:
    summary = summarize(ENSEMBLE, FOLDS, collect_fold_results(ensembled.roots, ENSEMBLE, FOLDS))
    assert (summary.is_complete, summary.n_cases) == (True, 6)
    assert summary.inputs.raw_hash == UNKNOWN
    assert summary.inputs.plans_hash != UNKNOWN


def test_a_stage_before_that_is_trained_again_makes_the_ensemble_unfinished(
    ensembled: PhantomProject, tmp_path: Path
) -> None:
    project = ensembled.copy_to(tmp_path)
    assert read_committed(project.folder("fold_0", ENSEMBLE)) is not None
    project.train("fold_0", LOWRES, retrain=True, overrides={"num_epochs": 1, "num_iterations_per_epoch": 2})
    project.train("fold_0", CASCADE, retrain=True)
    assert read_committed(project.folder("fold_0", ENSEMBLE)) is None
    assert read_committed(project.folder("fold_1", ENSEMBLE)) is not None
    again = made(project)
    assert again.made["odd"][0] == "fold_0"
