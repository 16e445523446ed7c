"""What a results folder says was cross-validated: nnU-Net's own folders, wherever they lie, and the COMMITs in them.

A folder may be that of all results (`nnUNet_results`, with our `variants` in it), of one dataset, or of one model
(`TRAINER__PLANS__CONFIGURATION`, or `ensembles/NAME`). A fold counts where its COMMIT verifies; what plain nnU-Net
trained has none, and is named, with the command that adopts it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_assets.core.files.layout import DATASET_PATTERN, ENSEMBLES, OWN_FOLDER, REQUEST_FILE, Experiment
from nnunet_assets.core.fold.commit import COMMIT_FILE, FinishedFold
from nnunet_assets.core.summary.cv_groups import CvGroup, chosen_group, fold_order, group_name, no_experiment
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.errors import SummaryError, first_offenders
from nnunet_assets.nnunet.results.results import fold_results_in

VARIANTS = "variants"


@dataclass(frozen=True)
class Model:
    """A model's folder, and what it is of."""

    experiment: Experiment
    folder: Path


class FolderRecord:
    """What folders of models say; see `core.summary.cv_groups.CvRecord`.

    Args:
        models: The folders.
        place: Where they lie, for messages.
    """

    def __init__(self, models: Sequence[Model], place: str) -> None:
        self.place = place
        self._models = models

    @classmethod
    def of(cls, folder: Path) -> "FolderRecord":
        """Returns the record of a results folder.

        Raises:
            SummaryError: It is not there, or holds no model.
        """
        models = list(models_in(folder))
        if not models:
            problem = "holds no model of nnU-Net" if folder.is_dir() else "is not there"
            raise SummaryError(
                f"The results folder {folder} {problem}. Name nnUNet_results, the folder of a dataset in it, or one of "
                "a model (TRAINER__PLANS__CONFIGURATION)."
            )
        return cls(models, f"The results folder {folder}")

    def experiments(self) -> Mapping[str, Sequence[CvGroup]]:
        """Returns each dataset with its groups."""
        datasets = sorted({model.experiment.dataset for model in self._models})
        return {dataset: [_group(model) for model in self._of(dataset)] for dataset in datasets}

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, ScoredSummary]:
        """Returns a group of a dataset and what its finished folds say together."""
        models = {group_name(model.experiment): model for model in self._of(name)}
        if not models:
            raise no_experiment(self.place, name, sorted({model.experiment.dataset for model in self._models}))
        group = chosen_group([_group(model) for model in models.values()], cv_group, self.place)
        model, folds = models[group.name], expected(group)
        results = fold_results_in(model.folder, folds)
        if not results:
            raise SummaryError(f"No fold among {first_offenders(folds)} in {model.folder} is finished.{_hint(model)}")
        return group, summarize(model.experiment, folds, results)

    def other_groups(self, name: str, group: CvGroup) -> Sequence[str]:
        """Returns the names of the other groups of a dataset."""
        found = [_group(model) for model in self._of(name)]
        return [other.name for other in found if other.finished_folds and other.name != group.name]

    def _of(self, dataset: str) -> list[Model]:
        return [model for model in self._models if model.experiment.dataset == dataset]


def models_in(folder: Path) -> Iterator[Model]:
    """Yields the models below a results folder, in order; none where it holds none, or is not there."""
    folder = folder.absolute()
    roots = [folder, *sorted((folder / VARIANTS).glob("*"))]
    for path in [
        folder,
        *sorted(folder.glob("*__*__*")),
        *sorted(folder.glob(f"{ENSEMBLES}/*")),
        *(p for root in roots for p in sorted(root.glob("*/*__*__*"))),
        *sorted(folder.glob(f"*/{ENSEMBLES}/*")),
    ]:
        experiment = experiment_of(path)
        if experiment and path.is_dir():
            yield Model(experiment, path)


def experiment_of(model_folder: Path) -> Experiment | None:
    """Returns what a model's folder is of, by its path; None: its path is not that of a model."""
    dataset, parts = model_folder.parent.name, model_folder.name.split("__")
    if dataset == ENSEMBLES and len(parts) == 1 and re.fullmatch(DATASET_PATTERN, model_folder.parent.parent.name):
        return Experiment.ensemble(model_folder.parent.parent.name, model_folder.name)
    if not re.fullmatch(DATASET_PATTERN, dataset) or len(parts) != 3:
        return None
    trainer, plans, configuration = parts
    experiment = Experiment(dataset, configuration, trainer, plans)
    root = model_folder.parent.parent
    return replace(experiment, variant=root.name) if root.parent.name == VARIANTS else experiment


def is_foreign(fold: Path) -> bool:
    """Says whether what lies in a fold's folder is neither trained nor adopted by this project.

    A tracked trainer's journal, or one of an adoption that was killed, makes it neither.
    """
    return not any((fold / OWN_FOLDER / name).exists() for name in (COMMIT_FILE, REQUEST_FILE))


def unadopted_folds(model_folder: Path) -> list[Path]:
    """Returns the folds that something else than this project trained to their end, in order."""
    folds = (path.parent.parent for path in model_folder.glob("fold_*/validation/summary.json"))
    return sorted((fold for fold in folds if is_foreign(fold)), key=lambda fold: fold_order(fold.name))


def _group(model: Model) -> CvGroup:
    folders = sorted(model.folder.glob("fold_*"), key=lambda folder: fold_order(folder.name))
    finished = [found for folder in folders if (found := FinishedFold.read(folder))]
    commits = {found.folder.name: found.committed_ns for found in finished}
    n_runs = {"FINISHED": len(commits), "other": len(folders) - len(commits)}
    return CvGroup(
        group_name(model.experiment),
        "native",
        tuple(fold for fold in commits if fold != "fold_all"),
        max(commits.values(), default=0) // 1_000_000,
        {status: n for status, n in n_runs.items() if n},
        model.experiment,
    )


def _hint(model: Model) -> str:
    if names := [fold.name for fold in unadopted_folds(model.folder)]:
        return (
            f" {first_offenders(names)} was trained by plain nnU-Net: `nnunet-assets adopt {model.folder}` takes it in."
        )
    return ""
