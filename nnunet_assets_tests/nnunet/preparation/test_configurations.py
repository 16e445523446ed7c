"""Several configurations of one dataset, really trained: an ensemble chosen by nnU-Net's own command, and a cascade."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.cascade import check_previous_stage
from nnunet_assets.nnunet.preparation.planning import prepare
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.training_builders import DATASET, PhantomProject, roots_in

pytestmark = pytest.mark.faults

FOLDS = ["fold_0", "fold_1"]
PROBABILITIES = TrainingOptions(npz=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return PhantomProject(roots_in(tmp_path_factory.mktemp("configurations"))).build()


def run_nnunet(project: Any, command: Any, *arguments: Any, results: Any = None) -> Any:
    roots = replace(project.roots, results=results or project.roots.results)
    environment = {**os.environ, **roots.environment(), "nnUNet_def_n_proc": "1"}
    program = Path(sys.executable).with_name(command)
    done = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nnunet_chooses_among_two_configurations_and_their_ensemble_and_exports_what_it_chose(
    project: Any, tmp_path: Path
) -> None:
    project.prepare(configurations=["2d", "3d_fullres"])
    for configuration in ("2d", "3d_fullres"):
        for fold in FOLDS:
            project.train(fold, Experiment(DATASET, configuration), options=PROBABILITIES)

    run_nnunet(
        project, "nnUNetv2_find_best_configuration", DATASET, "-c", "2d", "3d_fullres", "-f", "0", "1", "-np", "1"
    )
    found = json.loads((project.roots.results / DATASET / "inference_information.json").read_text())
    assert len(found["all_results"]) == 3  # each alone, and both together

    archive = tmp_path / "model.zip"
    run_nnunet(
        project, "nnUNetv2_export_model_to_zip", "-d", DATASET, "-c", "3d_fullres", "-f", "0", "1", "-o", str(archive)
    )
    with zipfile.ZipFile(archive) as exported:
        names = exported.namelist()
    model = f"{DATASET}/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert {f"{model}/{fold}/checkpoint_final.pth" for fold in FOLDS} <= set(names)


def test_configurations_of_ones_own_train_as_plain_nnunet_trains_them_on_the_cases_that_they_inherit(
    project: Any,
) -> None:
    project.prepare(configurations=["3d_fullres"])
    plans = json.loads(project.prepared.plans_file("nnUNetPlans").read_text())
    plans["plans_name"] = "OwnPlans"
    plans["configurations"] |= {
        "3d_fullres_bs3": {"inherits_from": "3d_fullres", "batch_size": 3},
        "small": {"inherits_from": "3d_fullres_bs3", "patch_size": plans["configurations"]["3d_fullres"]["patch_size"]},
    }
    project.prepared.plans_file("OwnPlans").write_text(json.dumps(plans))
    for configuration in ("3d_fullres_bs3", "small"):
        own = Experiment(DATASET, configuration, plans="OwnPlans", variant="tiny")
        made = prepare(
            project.roots,
            DATASET,
            "OwnPlans",
            configurations=[configuration],
            trainers=["nnUNetTrainer"],
            environment=project.environment,
        )
        assert made.made == ()  # the cases of 3d_fullres
        manifest = project.train("fold_0", own).manifest
        assert read_committed(project.folder("fold_0", own), check_files=True) == manifest
        start = next(read_records(journal_path(project.folder("fold_0", own))))
        assert start.values["params"]["plans"]["batch_size"] == 3
        run_nnunet(
            project,
            "nnUNetv2_train",
            DATASET,
            configuration,
            "0",
            "-p",
            "OwnPlans",
            "--val",
            "-device",
            "cpu",
            results=project.roots.for_variant("tiny").results,
        )


def test_a_cascade_trains_on_what_every_fold_of_its_first_stage_predicted(project: Any) -> None:
    project.prepare(configurations=["3d_fullres"])
    lowres, cascade = project.prepare_cascade()
    project.train("fold_0", lowres)
    with pytest.raises(FoldError, match=r"fold_1 of .* is not finished \(.*\), and the cascade reads its predictions"):
        check_previous_stage(dataset_of(project.roots, cascade), cascade)
    project.train("fold_1", lowres)
    check_previous_stage(dataset_of(project.roots, cascade), cascade)

    manifest = project.train("fold_0", cascade).manifest

    assert read_committed(project.folder("fold_0", cascade), check_files=True) == manifest
    summary = json.loads((project.folder("fold_0", cascade) / "validation" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == project.n_cases / 2
