"""The test set of a dataset, predicted by all folds of an experiment together, and the gap to its validation cases.

On disk, in the model's `nnunet_assets/`: `test_predictions/` (see `nnunet.predictions.prediction_store`) and
`test_evaluation/` with what an evaluation writes of its cases, `gap.json` and `gap.csv`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.dataset.findings import Finding, findings_text
from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.seal_carriers import sealed
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import DatasetError
from nnunet_assets.reports.tables.case_table import read_case_names, read_cases, read_metrics
from nnunet_assets.reports.tables.gap_tables import gap_headline, gaps_to_csv, what_of
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import test_set_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.evaluate import Evaluated, Target, evaluate_as_declared, target_of_folds

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap
    from nnunet_assets.nnunet.predictions.ensemble import Ensemble
    from nnunet_assets.nnunet.predictions.prediction import Predicted

DICE = "dice"

NO_REFERENCES = "The test set has no references (labelsTs): it is predicted, and not evaluated."


@dataclass(frozen=True)
class ScoresOnTestSet:
    """What an ensemble scores on the test set.

    Attributes:
        folder: Where the files are: those of an evaluation, `gap.json` and `gap.csv`.
        evaluation: Of the test cases, at least one.
        content: The same, as JSON values.
        gaps: To the validation cases.
    """

    folder: Path
    evaluation: Evaluation
    content: Mapping[str, Any]
    gaps: "Sequence[Gap]"

    @property
    def gap_files(self) -> list[Path]:
        """The gaps as JSON and as CSV."""
        from nnunet_assets.core.evaluation.gap import GAP_FILE, GAP_TABLE

        return [self.folder / GAP_FILE, self.folder / GAP_TABLE]


@dataclass(frozen=True)
class PredictedTestSet:
    """A test set that is predicted, and evaluated where it has references.

    Attributes:
        predicted: The predictions.
        n_cases: Of the test set.
        warnings: What its owner should look at.
        scores: None: there are no references.
        what: What the gap is to: the cross-validation, or the hold-out.
        tracked: Its MLflow run; nothing where there are no scores.
    """

    predicted: "Predicted"
    n_cases: int
    warnings: tuple[Finding, ...]
    scores: ScoresOnTestSet | None
    what: str
    tracked: TrackedRun

    @property
    def headline(self) -> str:
        """The result in one line."""
        return gap_headline(self.scores.gaps, self.what) if self.scores else NO_REFERENCES

    def digest(self) -> str:
        """Returns what names predictions and scores; the table of gaps is read for it."""
        scores = self.scores
        evaluated = [scores.content, file_sha256(scores.gap_files[-1])] if scores else []
        return json_sha256([self.predicted.digest, *evaluated])


def predict_test_set(
    settings: Settings,
    experiment: Experiment,
    folds: Sequence[str],
    dataset: DatasetConfig,
    *,
    device: str,
    environment: Mapping[str, str],
    progress: Progress,
    destination: Destination,
    dagster_run_id: str | None = None,
) -> PredictedTestSet:
    """Predicts what is not predicted yet, and evaluates the predictions as the validation cases are.

    Args:
        settings: Of the project.
        experiment: Whose folds predict.
        folds: All of them; each must be finished.
        dataset: What is declared to be measured.
        device: `auto`, `cuda`, `cpu` or `mps`.
        environment: Of the process that predicts, without nnU-Net's folders.
        progress: Told how far it is, and what is wrong with the test set without keeping it from being predicted.
        destination: Where the test set's run is brought up to date.
        dagster_run_id: The Dagster run that predicts; None where none does.

    Raises:
        NnunetAssetsError: As `finished_ensemble`, `read_test_set`, `prediction.predict_test_set` and
            `evaluate_as_declared`; or no case could be evaluated.
    """
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.nnunet.predictions import prediction
    from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set
    from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble

    roots = settings.roots
    ensemble = finished_ensemble(roots, experiment, folds)
    description = parse_dataset_json(ensemble.folder / DATASET_JSON)
    test_set = read_test_set(roots, experiment.dataset, description, progress, ensemble.folder)
    if test_set.warnings:
        progress.warn(findings_text(test_set.warnings))
    # Before the work: it is known already, as a rule, and whoever evaluates at the same time is met now.
    validation = _validation_table(settings, ensemble, dataset, progress) if test_set.references else None
    predicted = prediction.predict_test_set(
        ensemble,
        test_set,
        description.file_ending,
        roots,
        device=device,
        environment=environment,
        progress=progress,
    )
    n_cases = len(test_set.cases)
    others = "" if predicted.n_predicted == n_cases else ", the others before"
    progress.say(f"{predicted.n_predicted} of {n_cases} test cases were predicted now{others}.")
    scores = None
    if test_set.references and validation:
        scores = _scores(
            settings,
            ensemble,
            predicted,
            dataset,
            references=test_set.references,
            validation=validation,
            progress=progress,
        )
    tracked = TrackedRun()
    if scores:
        run = test_set_run(experiment, ensemble.folds, scores.gaps)
        tracked = bring_up_to_date(destination, run, scores.gap_files, dagster_run_id=dagster_run_id)
    return PredictedTestSet(predicted, n_cases, test_set.warnings, scores, what_of(folds), tracked)


def _validation_table(settings: Settings, ensemble: "Ensemble", dataset: DatasetConfig, progress: Progress) -> Path:
    """Brings the evaluation of the validation cases up to date, and returns the table of its cases."""
    target = target_of_folds(settings, ensemble.folder, ensemble.folds, ensemble.experiment.title, dataset=dataset)
    evaluated = evaluate_as_declared(settings, target, progress)
    evaluated.evaluation.refuse_empty()
    return evaluated.table_parquet


def _scores(
    settings: Settings,
    ensemble: "Ensemble",
    predicted: "Predicted",
    dataset: DatasetConfig,
    *,
    references: Path,
    validation: Path,
    progress: Progress,
) -> ScoresOnTestSet:
    """Evaluates the predictions, and writes the gap to the validation cases."""
    from nnunet_assets.core.evaluation.gap import (
        GAP_COLUMNS,
        GAP_FILE,
        GAP_TABLE,
        TESTED_FOLDER,
        find_gaps,
        gaps_to_json,
    )

    evaluated = _evaluated(settings, ensemble, predicted.folder, references, dataset, progress=progress)
    folder = ensemble.experiment.summary_folder(settings.roots) / TESTED_FOLDER
    table = evaluated.table_parquet
    gaps = find_gaps(read_metrics(table, GAP_COLUMNS), read_metrics(validation, GAP_COLUMNS), read_case_names(table))
    commits = {fold: commit_sha256(ensemble.folder / fold) for fold in ensemble.folds}
    content = gaps_to_json(gaps, predicted.digest, commits)
    write_keeping_earlier(folder / GAP_FILE, content)
    sealing = Sealing.of_content("/".join(ensemble.experiment.key_prefix), content)
    write_atomically(folder / GAP_TABLE, sealed(gaps_to_csv(gaps).encode(), GAP_TABLE, sealing))
    return ScoresOnTestSet(folder, evaluated.evaluation, evaluated.content, gaps)


def _evaluated(
    settings: Settings,
    ensemble: "Ensemble",
    predictions: Path,
    references: Path,
    dataset: DatasetConfig,
    *,
    progress: Progress,
) -> Evaluated:
    from nnunet_assets.core.evaluation.gap import TESTED_FOLDER
    from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders

    found = cases_of_folders(predictions, references, predictions / DATASET_JSON, settings.trusted_code)
    found.subject = f"{ensemble.experiment.title}, test set"
    folder = ensemble.experiment.summary_folder(settings.roots) / TESTED_FOLDER
    target = Target(found, folder, dataset.nsd_tolerance_mm, dataset.lesion_labels)
    evaluated = evaluate_as_declared(settings, target, progress)
    evaluated.evaluation.refuse_empty()
    return evaluated


@dataclass(frozen=True)
class ScoredTestSet:
    """What an ensemble scored on the test set as it is now.

    Attributes:
        digest: Names the test set: its cases, their images and references.
        cases: By case and label the Dice; None where it is undefined.
    """

    digest: str
    cases: Mapping[str, Mapping[str, float | None]]


def scored_test_set(
    settings: Settings, experiment: Experiment, folds: Sequence[str], dataset: DatasetConfig, progress: Progress
) -> ScoredTestSet | None:
    """Returns what the predictions of the test set score; None: these folds predicted none, or it has no references.

    Nothing is predicted. Masks are read where they were not evaluated yet.

    Args:
        settings: Of the project.
        experiment: Whose folds predicted.
        folds: All of them.
        dataset: What is declared to be measured.
        progress: Told of masks that are read.

    Raises:
        NnunetAssetsError: A fold is not finished, or no case could be evaluated.
    """
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set
    from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
    from nnunet_assets.nnunet.predictions.prediction import current_predictions

    ensemble = finished_ensemble(settings.roots, experiment, folds)
    description = parse_dataset_json(ensemble.folder / DATASET_JSON)
    try:
        test_set = read_test_set(settings.roots, experiment.dataset, description, progress, ensemble.folder)
    except DatasetError:
        return None
    predicted = current_predictions(ensemble, test_set, description.file_ending, settings.roots)
    if predicted is None or test_set.references is None:
        return None
    evaluated = _evaluated(settings, ensemble, predicted.folder, test_set.references, dataset, progress=progress)
    rows = read_cases(evaluated.table_parquet, [DICE])
    content = {case.name: [case.images_hash, file_sha256(case.reference)] for case in test_set.cases if case.reference}
    by_case = {case: {label: row[DICE] for label, row in labels.items()} for case, labels in rows.items()}
    # Of a case that could not be evaluated nothing is known, and all that is known must be of the same cases.
    return ScoredTestSet(json_sha256(content), by_case) if by_case.keys() == content.keys() else None
