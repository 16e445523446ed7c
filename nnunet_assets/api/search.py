"""Searches for settings: run, looked at, and won."""

from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.api.given import settings_of
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.core.search.report import SearchReport
    from nnunet_assets.workflows.search.adopt import AdoptedTrial


def search(
    name: str,
    *,
    extend: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "SearchReport":
    """Runs a declared search to its end, from where it is, as `nnunet-assets search run` does.

    Args:
        name: Of the search, or `DATASET/NAME`.
        extend: Go on in another space than the trials so far were begun in.
        track: Whether the trials go to MLflow.
        project: Where it is declared.
        progress: Told what becomes of each trial.

    Raises:
        ConfigError: There is no such search, Ray is not installed, or the search was changed under its trials.
        FoldError: Its trials cannot be trained.
        SearchError: Another process runs it, or it ended without a result.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.search.run import run_search, search_named
    from nnunet_assets.workflows.search.search_files import make_search_files

    settings = settings_of(project)
    declared = read_project(settings.project)
    config = search_named(declared, name)
    run_search(settings, declared, config, progress, is_tracked=track, extends=extend)
    return make_search_files(settings, declared, config, Destination.of(settings) if track else None).report


def search_status(name: str, *, project: Path | str | None = None) -> "SearchReport":
    """Returns what a search has found so far; `ranked` has its trials, the best one first.

    Args:
        name: Of the search, or `DATASET/NAME`.
        project: Where it is declared.

    Raises:
        ConfigError: There is no such search.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.search.run import search_named
    from nnunet_assets.workflows.search.status import search_status as status

    settings = settings_of(project)
    return status(settings, search_named(read_project(settings.project), name))


def adopt_trial(name: str, trial: int | None = None, *, project: Path | str | None = None) -> "AdoptedTrial":
    """Makes an experiment of a search's best trial, to be cross-validated on all folds.

    Args:
        name: Of the search, or `DATASET/NAME`.
        trial: The number of another trial; None: the best one that was trained to its end.
        project: Where it is declared, and the experiment will be.

    Raises:
        ConfigError: There is no such search, or the experiment cannot be declared.
        SearchError: There is no such trial, or none that was trained to its end.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.search.adopt import adopt_trial as adopt
    from nnunet_assets.workflows.search.run import search_named

    settings = settings_of(project)
    declared = read_project(settings.project)
    return adopt(settings, declared, search_named(declared, name), trial)
