"""Searches without a training: a project that declares one, its book, and trials whose folds are written by hand."""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.search.trial_files import SearchRecord, Trial, search_folder, write_record
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.search.book import Book, declared_of, trial_folder
from nnunet_assets_tests.cross_validation_builders import write_fold
from nnunet_assets_tests.project_builders import DATASET, documents, write_project

SEARCH = """
type: nnunet_assets.components.Search
attributes:
  name: lr
  of: {{dataset: Dataset004_Hippocampus, configuration: 2d, trainer: nnUNetTrainerTunable, device: cpu}}
  space: {space}
  sampler: {sampler}
  budget: {budget}
"""
SPACE = "{initial_lr: {log: [1.0e-4, 1.0e-1]}, optimizer_name: {choice: [SGD, AdamW]}}"
BUDGET = "{trials: 4, max_epochs: 9, min_epochs: 2, reduction: 2.0}"


def search_text(space: str = SPACE, budget: str = BUDGET, sampler: str = "tpe") -> str:
    """Returns the document that declares a search."""
    return SEARCH.format(space=space, budget=budget, sampler=sampler)


def project_with_search(root: Path, *others: str, **changes: str) -> tuple[Project, SearchConfig, Settings]:
    """Writes a project with a search, and returns what it declares."""
    write_project(root, {"defs.yaml": documents(DATASET, search_text(**changes), *others)})
    project = read_project(root)
    return project, project.searches[0], Settings.from_environment(root, {})


def begun_book(config: SearchConfig, settings: Settings, *scores: Sequence[float | None]) -> Book:
    """Returns the book of a search whose trials have these scores, epoch by epoch; all of them go on."""
    folder = search_folder(settings.roots, config.of.dataset, config.name)
    write_record(folder, SearchRecord(declared_of(config), dict(config.space), {"raw_hash": "r"}))
    book = Book(config, settings.roots)
    for number, of_trial in enumerate(scores):
        book.begin({"initial_lr": 0.01 * (number + 1), "optimizer_name": "SGD"})
        for epoch, score in enumerate(of_trial):
            write_epoch(config, settings, number, epoch, score)
    return book


def write_epoch(config: SearchConfig, settings: Settings, number: int, epoch: int, score: float | None) -> None:
    """Writes an epoch of ten seconds into the journal of a trial."""
    values = {"train_loss": 1.0, "val_loss": 0.5, "pseudo_dice_ema": score, "epoch_seconds": 10.0}
    append_record(journal_path(_folder(config, settings, number)), "epoch", values, epoch)


def finish(config: SearchConfig, settings: Settings, number: int, fold: str = "fold_0", dice: float = 0.8) -> None:
    """Writes the COMMIT of a fold of a trial, with a case of this Dice in both labels."""
    model = _folder(config, settings, number).parent
    write_fold(model, fold, {f"case_{fold}": (dice, dice)})


def _folder(config: SearchConfig, settings: Settings, number: int) -> Path:
    return trial_folder(config, settings.roots, Trial(number, {}, 0))
