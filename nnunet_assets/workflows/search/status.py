"""What a search has found so far, read from its book and the folds of its trials; nothing runs for it."""

from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.search.report import SearchReport, TrialReport
from nnunet_assets.core.search.space import rungs
from nnunet_assets.core.search.trial_files import Trial, read_record, search_folder
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.results.results import scores_of
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.search.book import Book


def search_status(settings: Settings, config: SearchConfig) -> SearchReport:
    """Returns the search as it is now; one that was not begun has no trials.

    Raises:
        DamagedFileError: As `read_record`.
        ConfigError: The search was changed under its trials.
    """
    budget, is_begun = config.budget, read_record(search_folder(settings.roots, config.of.dataset, config.name))
    book = Book(config, settings.roots) if is_begun else None
    trials = book.record.trials if book else ()
    declared = [one.name for one in config.declared_space.dimensions]
    return SearchReport(
        dataset=config.of.dataset,
        name=config.name,
        title=config.title,
        fold=config.fold_key,
        n_wanted=config.n_trials,
        max_epochs=budget.max_epochs,
        stopped_at=rungs(budget.min_epochs, budget.max_epochs, budget.reduction) if budget.min_epochs else [],
        settings=[*dict.fromkeys([*declared, *(name for trial in trials for name in trial.point)])],
        trials=[_reported(config, book, trial) for trial in trials if book],
        n_changes=book.record.extended if book else 0,
    )


def _reported(config: SearchConfig, book: Book, trial: Trial) -> TrialReport:
    return TrialReport(
        trial,
        config.trial_name(trial.number),
        book.curve(trial.number),
        _dice(config, book, trial),
        is_counted=trial in book.counted,
    )


def _dice(config: SearchConfig, book: Book, trial: Trial) -> float | None:
    """Returns the mean Dice of the validation cases of a trial's fold; None: it was not validated."""
    finished = FinishedFold.read(book.fold_folder(trial.number))
    if finished is None:
        return None
    try:
        scores = scores_of(config.trial(trial.number, trial.point).identity, finished)
    except SummaryError:
        return None
    return scores.foreground.dice.pooled.mean if scores else None
