"""A project of two finished folds with masks, checkpoints, raw data, plans, split and test set: everything holds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots, comparison_folder
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FoldInputs, Manifest, commit_fold, read_committed
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.core.verification.findings import Verdict, Verification
from nnunet_assets.declarations.project import read_project
from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.compare import make_comparison
from nnunet_assets.workflows.results.evaluate import evaluate_as_declared, target_of_folds
from nnunet_assets.workflows.results.export_figures import export_figures
from nnunet_assets.workflows.results.export_pages import export_cv_report, export_dataset_report
from nnunet_assets.workflows.results.export_tables import export_tables
from nnunet_assets.workflows.results.predict import predict_test_set
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets.workflows.verification.verify import verify
from nnunet_assets_tests.comparison_builders import DECLARED
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case, write_fold
from nnunet_assets_tests.prediction_builders import PredictingChild, write_test_set
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json

ELSEWHERE = Destination("http://tracking.example.invalid", Path("/nowhere"))
"""A server that takes no files, and is therefore never asked."""

DATASET = "Dataset001_Tiny"
EXPERIMENT = Experiment(DATASET, "2d")
LONG = Experiment(DATASET, "2d", variant="long")
FOLDS = ["fold_0", "fold_1"]
CASES = {"fold_0": ["a", "b", "c", "d"], "fold_1": ["e", "f", "g", "h"]}
PLANS = {"configurations": {"2d": {"patch_size": [8, 8]}}, "image_reader_writer": "SimpleITKIO"}
SPLITS = [
    {"train": CASES["fold_1"], "val": CASES["fold_0"]},
    {"train": CASES["fold_0"], "val": CASES["fold_1"]},
]
TEST_CASES = ("new_1", "new_2")


def finished_project(folder: Path) -> Settings:
    """Writes the project, without its summaries."""
    write_project(folder, {"defs.yaml": DECLARED})
    settings = Settings.from_environment(folder, {})
    prepared = settings.roots.preprocessed / DATASET
    write_raw_data(settings.roots)
    write_json_atomically(prepared / "nnUNetPlans.json", PLANS)
    write_splits(prepared, SPLITS)
    for experiment, scores in ((EXPERIMENT, HALF), (LONG, WHOLE)):
        for fold in FOLDS:
            finish_fold(settings.roots, experiment, fold, scores)
        write_json_atomically(experiment.model_folder(settings.roots) / "plans.json", PLANS)
    return settings


def write_raw_data(roots: Roots) -> None:
    """Writes the raw data, looked at, and a test set of two cases."""
    folder = roots.raw / DATASET
    cases = [case for names in CASES.values() for case in names]
    for case in cases:
        write_case(folder / "imagesTr" / f"{case}_0000.nii.gz", REFERENCE)
        write_case(folder / "labelsTr" / f"{case}.nii.gz", REFERENCE)
    write_json(folder / "dataset.json", tiny_json(len(cases)))
    look_at_raw_data(roots, DATASET, 2, Curation())
    write_test_set(roots)


def inputs_of(roots: Roots) -> FoldInputs:
    """Returns what the folds are said to be trained on."""
    raw = read_raw(PreparedFolder(roots, DATASET)).content_hash
    return FoldInputs(raw, plans_digests(PLANS, "2d", "plans.json")[0], json_sha256(SPLITS), "training")


Scores = tuple[np.ndarray, Mapping[str, float]]
HALF: Scores = (HIGHER, {"1": 0.5, "2": 0.5})
WHOLE: Scores = (REFERENCE, {"1": 1.0, "2": 1.0})


def finish_fold(roots: Roots, experiment: Experiment, fold: str, scores: Scores = HALF, weights: bytes = b"w") -> Path:
    """Writes a fold of masks that score so, with a checkpoint of these bytes."""
    voxels, said = scores
    folder = write_fold(roots, experiment, fold, dict.fromkeys(CASES[fold], voxels), said, inputs=inputs_of(roots))
    manifest = read_committed(folder)
    (folder / FINAL_CHECKPOINT).write_bytes(weights)
    files = {**manifest.files, FINAL_CHECKPOINT: file_sha256(folder / FINAL_CHECKPOINT)}
    commit_fold(folder, replace(manifest, files=files))
    return folder


def summarize(settings: Settings) -> None:
    """Makes both summaries."""
    for experiment in (EXPERIMENT, LONG):
        make_summary(settings.roots, experiment, FOLDS)


def manifest_of(settings: Settings, fold: str) -> Manifest | None:
    """Returns a fold's manifest, where its COMMIT verifies."""
    return read_committed(EXPERIMENT.fold_folder(settings.roots, fold))


def export_all(settings: Settings) -> None:
    """Writes everything that the summary of `EXPERIMENT` and the comparison are exported as, and an evaluation."""
    roots, project = settings.roots, read_project(settings.project)
    config = project.dataset(DATASET)
    target = target_of_folds(settings, EXPERIMENT.model_folder(roots), FOLDS, EXPERIMENT.title, dataset=config)
    evaluate_as_declared(settings, target, Silent())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cases_run, "run_child", PredictingChild())
        predict_test_set(
            settings,
            EXPERIMENT,
            FOLDS,
            config,
            device="cpu",
            environment={},
            progress=Silent(),
            destination=ELSEWHERE,
        )
    export_tables(roots, EXPERIMENT, ELSEWHERE)
    export_figures(roots, EXPERIMENT, config, ELSEWHERE)
    export_cv_report(roots, EXPERIMENT, config, settings.places, ELSEWHERE)
    make_comparison(roots, project, DATASET, settings.places)
    export_dataset_report(roots, DATASET, [EXPERIMENT, LONG], settings.places, ELSEWHERE)


def exported_files(settings: Settings) -> dict[str, Path]:
    """Returns the files of `export_all`, by name."""
    own = EXPERIMENT.summary_folder(settings.roots)
    folders = [own, own / "evaluation", own / "figures", comparison_folder(settings.roots, DATASET)]
    tested = own / "test_evaluation"
    endings = ("csv", "parquet", "tex", "md", "html", "svg", "png", "json")
    of_test_set = {
        "gap.json": tested / "gap.json",
        "gap.csv": tested / "gap.csv",
        **{f"test {name}": tested / name for name in ("labels.csv", "labels.tex", "cases.csv", "evaluation.json")},
    }
    return of_test_set | {
        path.name: path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix[1:] in endings and not path.name.startswith(".")
    }


def said_of(settings: Settings, file: Path, *, quick: bool = True) -> Verification:
    """Returns what is found about a file."""
    (found,) = verify(settings, [file], Silent(), quick=quick)
    return found


def sentences(found: Verification, verdict: Verdict = "changed") -> list[str]:
    """Returns the sentences of a verdict."""
    return [one.sentence for one in found.findings if one.verdict == verdict]
