"""The files of a search beside its record, made anew from it: the table of its trials; and its run in MLflow.

On disk: `searches/NAME/trials.parquet`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.search.report import SearchReport
from nnunet_assets.core.search.trials import search_folder
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import search_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search.status import search_status

TABLE_FILE = "trials.parquet"


@dataclass(frozen=True)
class MadeSearchFiles:
    """What was made of a search.

    Attributes:
        report: What it says.
        folder: Where the files lie.
        tracked: Its MLflow run; nothing where nobody asked for one.
    """

    report: SearchReport
    folder: Path
    tracked: TrackedRun = field(default_factory=TrackedRun)


def make_search_files(
    settings: Settings, config: SearchConfig, destination: Destination | None, *, dagster_run_id: str | None = None
) -> MadeSearchFiles:
    """Writes the files of a search as it is now, and brings its run up to date.

    Args:
        settings: Of the project.
        config: The search.
        destination: Where its run is; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        DamagedFileError: As `search_status`.
    """
    from nnunet_assets.reports.tables.search_rows import to_parquet

    report = search_status(settings, config)
    folder = search_folder(settings.roots, config.of.dataset, config.name)
    files = {folder / TABLE_FILE: to_parquet(report)}
    for file, content in files.items():
        write_atomically(file, content)
    if destination is None:
        return MadeSearchFiles(report, folder)
    run = search_run(config.identity, report)
    return MadeSearchFiles(report, folder, bring_up_to_date(destination, run, [*files], dagster_run_id=dagster_run_id))
