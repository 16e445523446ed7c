"""The files of a search beside its record, made anew from it: page, table of trials; and its run in MLflow.

On disk: `searches/NAME/trials.parquet` and `search.html`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.search.report import SearchReport
from nnunet_assets.core.search.trial_files import search_folder
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import search_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search.adopt import adopted_scores
from nnunet_assets.workflows.search.book import trial_folder
from nnunet_assets.workflows.search.importance import importance
from nnunet_assets.workflows.search.status import search_status
from nnunet_assets.workflows.search.waiting_runs import send_what_waits

TABLE_FILE, PAGE_FILE = "trials.parquet", "search.html"
SEND_SECONDS = 60.0


@dataclass(frozen=True)
class MadeSearchFiles:
    """What was made of a search.

    Attributes:
        report: What it says.
        folder: Where the files lie.
        tracked: Its MLflow run; nothing where nobody asked for one.
        n_waiting: Trials of which MLflow does not have everything yet.
    """

    report: SearchReport
    folder: Path
    tracked: TrackedRun = field(default_factory=TrackedRun)
    n_waiting: int = 0


def make_search_files(
    settings: Settings,
    project: Project,
    config: SearchConfig,
    destination: Destination | None,
    *,
    dagster_run_id: str | None = None,
) -> MadeSearchFiles:
    """Writes the files of a search as it is now, and brings its run up to date.

    Args:
        settings: Of the project.
        project: What it declares; of experiments that are trials, the page says what they score.
        config: The search.
        destination: Where its run is; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        DamagedFileError: As `search_status`.
    """
    from nnunet_assets.reports.tables.search_rows import to_parquet

    report = search_status(settings, config)
    folder = search_folder(settings.roots, config.of.dataset, config.name)
    files = {folder / TABLE_FILE: to_parquet(report), folder / PAGE_FILE: _page(settings, project, config, report)}
    for file, content in files.items():
        write_atomically(file, content)
    if destination is None:
        return MadeSearchFiles(report, folder)
    run = search_run(config.identity, report)
    tracked = bring_up_to_date(destination, run, [*files], dagster_run_id=dagster_run_id)
    folds = [trial_folder(config, settings.roots, one.trial) for one in report.trials]
    n_waiting = send_what_waits(settings, destination, folds, timeout_seconds=SEND_SECONDS)
    return MadeSearchFiles(report, folder, tracked, n_waiting)


def _page(settings: Settings, project: Project, config: SearchConfig, report: SearchReport) -> bytes:
    from nnunet_assets.reports.figures import search_figures as figures
    from nnunet_assets.reports.figures.style import svg
    from nnunet_assets.reports.pages.cv_page import PageFigure
    from nnunet_assets.reports.pages.search_page import search_page

    space = config.declared_space
    drawn = {
        "History: the last score of each trial, and the best of those trained whole.": figures.draw_history(report),
        "Learning curves, each to where its trial ended; grey: where trials are compared.": figures.draw_trial_curves(
            report
        ),
        "Points: a line a trial, darker where its score is better.": figures.draw_parallel(report),
        "Which settings matter (PED-ANOVA); those that are part of every trial.": figures.draw_importance(
            importance(space, report), report
        ),
    }
    shown = [PageFigure(caption, svg(figure), "image/svg+xml") for caption, figure in drawn.items()]
    adopted = [str(scores) for scores in adopted_scores(settings, project, config, report)]
    return search_page(report, str(space), shown, adopted, settings.places).encode()
