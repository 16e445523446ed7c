"""What finished folds come to: summarized, accepted, compared, evaluated, and verified where it was exported."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.api.given import path_of, settings_of
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.verification.findings import Verification
    from nnunet_assets.workflows.results.accept import AcceptedSummary
    from nnunet_assets.workflows.results.evaluate import Evaluated
    from nnunet_assets.workflows.results.summarize import MadeSummary


def summarize(experiment: str, *, track: bool = True, project: Path | str | None = None) -> "MadeSummary":
    """Summarizes the finished folds of a declared experiment and writes the files, as the asset `cv_summary` does.

    Args:
        experiment: `DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset.
        track: Whether the summary's MLflow run is brought up to date. What MLflow does not have, and why, is in the
            result's `tracked`.
        project: Where the experiment is declared.

    Raises:
        ConfigError: It is not declared.
        SummaryError: No fold is finished, one cannot be read, or they must not be averaged.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.results.summarize import make_summary

    settings = settings_of(project)
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    destination = Destination.of(settings).declared(config) if track else None
    return make_summary(settings.roots, config.identity, declared.folds_of(config), destination=destination)


def accept(
    experiment: str,
    *,
    incomplete: bool = False,
    note: str = "",
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "AcceptedSummary":
    """Accepts the summary of a declared experiment as its baseline, as `nnunet-assets accept` does.

    Args:
        experiment: As for `summarize`.
        incomplete: Accept it though folds are missing: only those that it has are compared later. Otherwise nothing is
            accepted, and the result's `baseline` is None.
        note: Why; kept with the baseline.
        project: Where the experiment is declared.
        progress: Told where the summary is made first.

    Raises:
        ConfigError: It is not declared.
        SummaryError: No fold is finished, or they must not be averaged.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.results.accept import accept_summary

    settings = settings_of(project)
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    folds = declared.folds_of(config)
    return accept_summary(settings.roots, config.identity, folds, incomplete=incomplete, note=note, progress=progress)


def compare(
    dataset: str,
    *,
    metric: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Comparison":
    """Compares the declared experiments of a dataset, as `nnunet-assets compare` does; its files are not written.

    Args:
        dataset: Whose experiments.
        metric: Of the evaluations; None: the summaries' Dice and IoU.
        project: Where they are declared.
        progress: Told which summaries are made first.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: No two of the experiments may be compared.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.results.compare import compare_declared, compare_evaluated

    settings = settings_of(project)
    declared = read_project(settings.project)
    if metric is None:
        return compare_declared(settings.roots, declared, dataset, progress)
    return compare_evaluated(settings.roots, declared, dataset, metric, progress)


def evaluate(
    target: str | Path,
    *,
    references: Path | str | None = None,
    tolerances_mm: Mapping[str, float] | None = None,
    lesion_labels: Sequence[str] = (),
    output: Path | str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Evaluated":
    """Evaluates saved predictions, as `nnunet-assets evaluate` does: overlap, surface distances and volumes.

    Args:
        target: A declared experiment, the folder of a trained model, or one of predictions, which needs `references`;
            beside these a path is one of predictions, and a model's folder is given as text.
        references: Folder of references; None: those that nnU-Net validated with.
        tolerances_mm: By label, how far apart its surfaces may be, over what is declared.
        lesion_labels: Labels whose components are counted, beside those that are declared.
        output: Folder for the tables; None: beside the predictions.
        project: Where the experiment is declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: There is nothing of that name, or no case of it could be evaluated.
    """
    from nnunet_assets.workflows.results.evaluate import evaluate as evaluate_target
    from nnunet_assets.workflows.results.evaluate import target_named

    settings = settings_of(project)
    return evaluate_target(
        settings,
        target_named(settings, str(target) if references is None else target, references=path_of(references)),
        progress,
        tolerances_mm=tolerances_mm or {},
        lesion_labels=lesion_labels,
        output=path_of(output),
    )


def verify(
    *files: Path | str, quick: bool = False, project: Path | str | None = None, progress: Progress = LOGGED
) -> "list[Verification]":
    """Verifies files that were exported, as `nnunet-assets verify` does: what holds, what changed, what is not known.

    Args:
        files: Tables, pages, figures, results (JSON), packages of models.
        quick: Whether the predicted masks are not scored again.
        project: Of whose folds they are said to be.
        progress: Told how far it is.

    Raises:
        VerificationError: One of them is not there, cannot be read, or is nothing that this package exports.
    """
    from nnunet_assets.workflows.verification.verify import verify as verify_files

    return verify_files(settings_of(project), [Path(file) for file in files], progress, quick=quick)
