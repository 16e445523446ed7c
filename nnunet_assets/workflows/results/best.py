"""The best configuration of a dataset: of its declared experiments, from their summaries on the disk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.declarations.project import Project
from nnunet_assets.workflows.results.compare import declared_summaries

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration


def find_best_configuration(
    roots: Roots, project: Project, dataset: str, progress: Progress | None = None
) -> "BestConfiguration":
    """Returns which of the declared experiments to take, and what it may be expected to score.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told which summaries are made first, since they are missing or older than a fold; None: none is made.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: No experiment has a complete summary, or no two of several may be compared.
    """
    project.dataset(dataset)
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.selection.selecting import SelectableModel, best_configuration

    summaries, left_out = declared_summaries(roots, project, dataset, progress)
    sizes = _weights_bytes(roots, summaries)
    models = [
        SelectableModel(scores, (scores.name,), sizes[scores.name]) for scores in map(ComparedExperiment.of, summaries)
    ]
    return best_configuration(dataset, models, left_out)


def _weights_bytes(roots: Roots, summaries: Sequence[CvSummary]) -> dict[str, int | None]:
    """Returns by experiment how large a fold's checkpoint is; None where its folds were taken away."""
    sizes: dict[str, int | None] = {}
    for summary in summaries:
        experiment = summary.experiment
        files = (experiment.fold_folder(roots, fold.fold) / FINAL_CHECKPOINT for fold in summary.folds)
        sizes[experiment.name_in_dataset] = next((file.stat().st_size for file in files if file.is_file()), None)
    return sizes
