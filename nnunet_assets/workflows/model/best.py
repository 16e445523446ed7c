"""The best configuration of a dataset: of its declared models, from their summaries and masks on the disk."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, DamagedFileError, DatasetError, EvaluationError
from nnunet_assets.nnunet.checkpoints.checkpoint_content import weights_bytes
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.ensemble import MadeEnsemble, ensemble_name, make_ensembles
from nnunet_assets.workflows.results.compare import declared_summaries

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.core.selection.selecting import SelectableModel, StepScores

STEPS_FOLDER = "postprocessing"
"""In a model's `nnunet_assets/`: what its masks score after postprocessing steps."""


MAX_ENSEMBLES = 60
"""That a choice makes by itself: pairs of eleven experiments."""


def find_best_configuration(
    settings: Settings,
    project: Project,
    dataset: str,
    progress: Progress = SILENT,
    *,
    makes_summaries: bool = False,
    with_postprocessing: bool = True,
    max_members: int = 1,
) -> "BestConfiguration":
    """Returns which of a dataset's models to take, and what it may be expected to score.

    Args:
        settings: Of the project.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told which summaries are made, and how many masks are read.
        makes_summaries: Whether those that are missing, or older than a fold, are made first.
        with_postprocessing: Whether masks are read, to choose postprocessing steps too.
        max_members: Ensembles of up to so many of the experiments are made and chosen from, beside those that are
            declared; 1: none.

    Raises:
        ConfigError: The dataset is not declared, or there would be too many ensembles.
        NoCandidateError: No experiment has a complete summary.
        SummaryError: No two of several may be compared.
        NnunetAssetsError: An ensemble cannot be made; see `make_ensembles`.
    """
    project.dataset(dataset)
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.selection.selecting import best_configuration

    summaries, left_out = declared_summaries(settings.roots, project, dataset, progress if makes_summaries else None)
    notes: list[str] = []
    score = partial(scores_after_steps, settings, progress=progress, notes=notes)
    members = {**{one.experiment: (one.experiment,) for one in summaries}, **project.members}
    if max_members > 1:
        for made in _found_ensembles(settings, project, summaries, max_members, progress):
            summaries.append(made.summary)
            members[made.ensemble] = made.members
    models = [
        _model(settings.roots, one, members[one.experiment], score(one) if with_postprocessing else None)
        for one in summaries
    ]
    return best_configuration(dataset, models, left_out, notes)


def _found_ensembles(
    settings: Settings, project: Project, summaries: Sequence[CvSummary], max_members: int, progress: Progress
) -> Iterator[MadeEnsemble]:
    """Makes the ensembles of experiments that may be compared with each other, but for those that are declared."""
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment, compatible

    alone = [one for one in summaries if not one.experiment.is_ensemble]
    comparable = compatible([ComparedExperiment.of(one) for one in alone])[0] if len(alone) > 1 else []
    names = {one.name for one in comparable}
    singles = [one.experiment for one in alone if one.experiment.name_in_dataset in names]
    declared = {frozenset(of) for of in project.members.values()}
    wanted = {}
    for n in range(2, min(max_members, len(singles)) + 1):
        for of in combinations(singles, n):
            if frozenset(of) not in declared:
                wanted[_name(project, of)] = of
    if len(wanted) > MAX_ENSEMBLES:
        raise ConfigError(
            f"{len(singles)} experiments have {len(wanted)} ensembles of up to {max_members}, and each predicts every "
            f"validation case; at most {MAX_ENSEMBLES} are made. Ask for fewer members, or declare the ensembles."
        )
    if wanted:
        yield from make_ensembles(settings, singles[0].dataset, wanted, progress).values()


def _name(project: Project, members: Sequence[Experiment]) -> str:
    """Returns the name of an ensemble, which no declared one has."""
    name = ensemble_name(members)
    taken = {one.configuration for one in project.members if one.dataset == members[0].dataset}
    return f"{name}-{json_sha256(sorted(one.name_in_dataset for one in members))[:8]}" if name in taken else name


def _model(
    roots: Roots, summary: CvSummary, members: Sequence[Experiment], steps: "StepScores | None"
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
    settings: Settings, summary: CvSummary, *, progress: Progress, notes: list[str], kept_in: Path | None = None
) -> "StepScores | None":
    """Returns what a model's masks score after steps; None, and why in the notes, where they are not all there.

    Args:
        settings: Of the project.
        summary: Of the model.
        progress: Told how many masks are read.
        notes: Taken more of.
        kept_in: Folder in which what is computed is kept, and found again; None: the model's own.
    """
    from nnunet_assets.core.evaluation.step_scores import step_plan
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
