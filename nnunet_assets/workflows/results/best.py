"""The best configuration of a dataset: of its declared models, from their summaries and masks on the disk."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import DamagedFileError, DatasetError, EvaluationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.compare import declared_summaries

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.core.selection.selecting import SelectableModel, StepScores

STEPS_FOLDER = "postprocessing"
"""In a model's `nnunet_assets/`: what its masks score after postprocessing steps."""


def find_best_configuration(
    settings: Settings,
    project: Project,
    dataset: str,
    progress: Progress = SILENT,
    *,
    makes_summaries: bool = False,
    with_postprocessing: bool = True,
) -> "BestConfiguration":
    """Returns which of the declared models to take, and what it may be expected to score.

    Args:
        settings: Of the project.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told which summaries are made, and how many masks are read.
        makes_summaries: Whether those that are missing, or older than a fold, are made first.
        with_postprocessing: Whether masks are read, to choose postprocessing steps too.

    Raises:
        ConfigError: The dataset is not declared.
        NoCandidateError: No experiment has a complete summary.
        SummaryError: No two of several may be compared.
    """
    project.dataset(dataset)
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.selection.selecting import best_configuration

    summaries, left_out = declared_summaries(settings.roots, project, dataset, progress if makes_summaries else None)
    notes: list[str] = []
    score = partial(_steps, settings, progress=progress, notes=notes)
    models = [_model(settings.roots, one, score(one) if with_postprocessing else None) for one in summaries]
    return best_configuration(dataset, models, left_out, notes)


def _model(roots: Roots, summary: CvSummary, steps: "StepScores | None") -> "SelectableModel":
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.selection.selecting import SelectableModel

    experiment = summary.experiment
    return SelectableModel(
        scores=ComparedExperiment.of(summary),
        members=(experiment.name_in_dataset,),
        weights_bytes=_weights_bytes(roots, [experiment], summary.completed_folds),
        steps=steps,
        made_of=json_sha256(summary.to_json()),
    )


def _weights_bytes(roots: Roots, members: Sequence[Experiment], folds: Sequence[str]) -> int | None:
    """Returns how large the checkpoints of one fold are together; None where a member's folds were taken away."""
    sizes = []
    for member in members:
        files = (member.fold_folder(roots, fold) / FINAL_CHECKPOINT for fold in folds)
        size = next((file.stat().st_size for file in files if file.is_file()), None)
        if size is None:
            return None
        sizes.append(size)
    return sum(sizes)


def steps_folder(roots: Roots, experiment: Experiment) -> Path:
    """Returns where what a model's masks score after postprocessing steps is kept."""
    return experiment.model_folder(roots) / SUMMARY_FOLDER / STEPS_FOLDER


def _steps(settings: Settings, summary: CvSummary, *, progress: Progress, notes: list[str]) -> "StepScores | None":
    """Returns what a model's masks score after steps; None, and why in the notes, where they are not all there."""
    from nnunet_assets.core.evaluation.step_scores import step_plan
    from nnunet_assets.core.selection.selecting import StepScores
    from nnunet_assets.nnunet.predictions.predicted_cases import cases_of_folds, references_folder
    from nnunet_assets.nnunet.predictions.step_scoring import score_steps

    experiment, roots = summary.experiment, settings.roots
    try:
        found = cases_of_folds(
            experiment.model_folder(roots),
            references_folder(roots, experiment.dataset),
            summary.completed_folds,
            experiment.title,
            trusted=settings.trusted_code,
        )
        plan = step_plan(found.description)
        scored = score_steps(found, plan, steps_folder(roots, experiment), progress, settings.trusted_code)
    except (DatasetError, EvaluationError, DamagedFileError) as error:
        notes.append(f"Postprocessing of {experiment.name_in_dataset} is not looked at: {error}")
        return None
    wanted = [case.case_id for fold in summary.folds for case in fold.cases]
    if missing := [case for case in wanted if case not in scored.cases]:
        for problem in scored.problems:
            progress.warn(problem)
        # What is noted is shown to others: it names no case.
        notes.append(
            f"Postprocessing of {experiment.name_in_dataset} is not looked at: {len(missing)} of its {len(wanted)} "
            "validation masks cannot be scored. Its evaluation says which, and why."
        )
        return None
    return StepScores(plan, scored.cases)
