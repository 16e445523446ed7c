"""The best configuration of a dataset: of its declared models, from their summaries and masks on the disk."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import ENSEMBLES, SUMMARY_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, DamagedFileError, DatasetError, EvaluationError, first_offenders
from nnunet_assets.nnunet.checkpoints.checkpoint_content import weights_bytes
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.found_ensembles import (
    EnsemblesThere,
    FoundEnsembles,
    ensembles_there,
    wanted_ensembles,
)
from nnunet_assets.workflows.results.compare import declared_summaries

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.core.selection.selecting import SelectableModel, StepScores

MOST_UNREAD = 0.05
"""Part of a model's masks that may be gone or damaged where its postprocessing is decided on the others."""

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
    max_members: int | None = None,
    found: FoundEnsembles | None = None,
) -> "BestConfiguration":
    """Returns which of a dataset's models to take, and what it may be expected to score; nothing is predicted for it.

    Args:
        settings: Of the project.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told which summaries are made, and how many masks are read.
        makes_summaries: Whether those that are missing, or older than a fold, are made first.
        with_postprocessing: Whether masks are read, to choose postprocessing steps too.
        max_members: Whether the ensembles that lie on the disk and are not declared are chosen from, too: not where it
            is 1; None: as the dataset declares. Of those of up to so many experiments it is said which are missing.
        found: What came of looking for these; None: nobody looked.

    Raises:
        ConfigError: The dataset is not declared.
        NoCandidateError: No experiment has a complete summary.
        SummaryError: No two of several may be compared.
    """
    config = project.dataset(dataset)
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.selection.selecting import best_configuration

    summaries, left_out = declared_summaries(settings.roots, project, dataset, progress if makes_summaries else None)
    notes: list[str] = []
    members = {**{one.experiment: (one.experiment,) for one in summaries}, **project.members}
    most = config.ensembles_to_find.max_members if max_members is None else max_members
    if most > 1:
        there = ensembles_there(settings.roots, project, dataset)
        notes += found.notes if found else _missing(settings.roots, project, dataset, summaries, there, most)
        notes += [f"{name} is no candidate: {problem}" for name, problem in there.reasons.items()]
        summaries += there.summaries
        members |= there.members
    score = partial(scores_after_steps, settings, progress=progress, notes=notes)
    models = [
        _model(settings.roots, one, members[one.experiment], score(one) if with_postprocessing else None)
        for one in summaries
    ]
    return best_configuration(dataset, models, left_out, notes)


def _missing(  # noqa: PLR0917 (one use)
    roots: Roots, project: Project, dataset: str, summaries: Sequence[ScoredSummary], there: EnsemblesThere, most: int
) -> list[str]:
    """Returns the sentence that says which ensembles are not there to be chosen from."""
    try:
        wanted = wanted_ensembles(roots, project, dataset, summaries, most)
    except ConfigError as error:
        return [str(error)]
    missing = [f"{ENSEMBLES}/{name}" for name in there.missing(wanted)]
    sentence = (
        f"Not made, and no candidates: {first_offenders(missing)}. Materialize found_ensembles, or run `nnunet-assets "
        f"best {dataset}`, which predicts their members' validation cases."
    )
    return [sentence] if missing else []


def _model(
    roots: Roots, summary: ScoredSummary, members: Sequence[Experiment], steps: "StepScores | None"
) -> "SelectableModel":
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.selection.selecting import SelectableModel

    return SelectableModel(
        scores=ComparedExperiment.of(summary),
        members=tuple(member.name_in_dataset for member in members),
        weights_bytes=_weights_bytes(roots, members, summary.completed_folds),
        steps=steps,
        made_of=json_sha256(summary.to_json()),
    )


def _weights_bytes(roots: Roots, members: Sequence[Experiment], folds: Sequence[str]) -> int | None:
    """Returns what the weights of one fold take, of all members together; None where a member's cannot be read."""
    sizes = []
    for member in members:
        files = (member.fold_folder(roots, fold) / FINAL_CHECKPOINT for fold in folds)
        size = next((weights_bytes(file) for file in files if file.is_file()), None)
        if size is None:
            return None
        sizes.append(size)
    return sum(sizes)


def steps_folder(roots: Roots, experiment: Experiment) -> Path:
    """Returns where what a model's masks score after postprocessing steps is kept."""
    return experiment.model_folder(roots) / SUMMARY_FOLDER / STEPS_FOLDER


def scores_after_steps(
    settings: Settings, summary: ScoredSummary, *, progress: Progress, notes: list[str], kept_in: Path | None = None
) -> "StepScores | None":
    """Returns what a model's masks score after steps; None, and why in the notes, where too many cannot be read.

    A case whose mask is gone or damaged keeps the score that it has, whatever steps are taken.

    Args:
        settings: Of the project.
        summary: Of the model.
        progress: Told how many masks are read.
        notes: Taken more of.
        kept_in: Folder in which what is computed is kept, and found again; None: the model's own.
    """
    from nnunet_assets.core.evaluation.step_scores import step_plan, unchanged_scores
    from nnunet_assets.core.selection.selecting import StepScores
    from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folds, references_folder
    from nnunet_assets.nnunet.evaluation.step_scoring import score_steps

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
        kept = kept_in or steps_folder(roots, experiment)
        scored = score_steps(found, plan, kept, progress, settings.trusted_code)
    except (DatasetError, EvaluationError, DamagedFileError) as error:
        notes.append(f"Postprocessing of {experiment.name_in_dataset} is not looked at: {error}")
        return None
    wanted = {case.case_id: case for fold in summary.folds for case in fold.cases}
    missing = [case for case in wanted if case not in scored.cases]
    for problem in scored.problems if missing else ():
        progress.warn(problem)
    # What is noted is shown to others: it names no case.
    which = f"{len(missing)} of the {len(wanted)} validation masks of {experiment.name_in_dataset} cannot be scored"
    if len(missing) > MOST_UNREAD * len(wanted):
        notes.append(f"{which}, and its postprocessing is not looked at. Its evaluation says which, and why.")
        return None
    if missing:
        notes.append(f"{which}: there a postprocessing step counts as changing nothing. Its evaluation says which.")
    recorded = {case: {name: score.dice for name, score in wanted[case].scores.items()} for case in missing}
    return StepScores(
        plan, {**scored.cases, **{case: unchanged_scores(plan, dices) for case, dices in recorded.items()}}
    )
