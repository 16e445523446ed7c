"""Raw data looked at, split, planned and preprocessed: what a training from the command line finds or makes.

The records are those of the assets, which then find everything up to date. Dagster itself is not told.
"""

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.preparation.planning import check_configuration, is_prepared, prepare
from nnunet_assets.nnunet.preparation.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.preparation.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.preparation.raw_records import read_raw
from nnunet_assets.nnunet.preparation.splits_final import ensure_splits
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.settings import Settings


def ensure_prepared(
    settings: Settings,
    project: Project,
    config: ExperimentConfig,
    progress: Progress,
    *,
    despite_changes: bool = False,
) -> PreparedDataset:
    """Makes what a fold of the experiment needs and is not there; what is there is left alone. Returns the dataset.

    One process at a time does it for a dataset: what another one made while this one waited is found here.

    Args:
        settings: Where the project keeps its things.
        project: What it declares.
        config: The experiment.
        progress: Hears what happens meanwhile.
        despite_changes: As for `prepare`.

    Raises:
        DatasetError: The raw data is not there or contradicts itself.
        PlanningError: The plans do not have the configuration, and no planning would make it; or planning or
            preprocessing failed.
    """
    prepared = PreparedFolder(settings.roots, config.dataset)
    plans = check_configuration(prepared, config.plans, config.configuration)
    declared = next((dataset for dataset in project.datasets if dataset.dataset == config.dataset), None)
    dataset = declared or DatasetConfig(dataset=config.dataset)
    raw = _looked_at(prepared)
    if raw is None or not _is_split(prepared):
        # Two processes that begin together would otherwise decide on what the other is about to change.
        with prepared.preparing(progress):
            if _looked_at(prepared) is None:
                _look_at_raw_data(settings, dataset, progress)
            if not _is_split(prepared):
                progress.say(f"Splitting {config.dataset} into {dataset.folds} folds.")
                ensure_splits(
                    settings.roots, config.dataset, dataset.split_settings(settings.project), progress=progress
                )
        raw, plans = read_raw(prepared), check_configuration(prepared, config.plans, config.configuration)
    # `prepare` holds the dataset by itself, and looks again.
    found = PreparedDataset(prepared, raw, plans) if plans else None
    if found is None or not is_prepared(found, config.configuration):
        progress.say(f"Planning and preprocessing {config.dataset} for {config.plans}, {config.configuration}.")
        prepare(
            settings.roots,
            config.dataset,
            config.plans,
            configurations=[config.configuration],
            trainers=[config.trainer],
            environment=settings.child_environment(),
            verify_integrity=dataset.verify_integrity,
            despite_changes=despite_changes,
            progress=progress,
        )
        found = PreparedDataset.read(prepared, config.plans)
    return found


def _looked_at(prepared: PreparedFolder) -> RawRecord | None:
    """Returns what is known of the raw data; None where it has to be looked at: never, or put right since."""
    try:
        return read_raw(prepared)
    except (PlanningError, DamagedFileError):
        return None


def _is_split(prepared: PreparedFolder) -> bool:
    # A file that is there is the user's own, and a fold checks it.
    return (prepared.folder / SPLITS_FILE).exists()


def _look_at_raw_data(settings: Settings, dataset: DatasetConfig, progress: Progress) -> None:
    # Numpy comes with them.
    from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
    from nnunet_assets.nnunet.raw.fact_cache import FactCache
    from nnunet_assets.reports.pages.intake_files import write_intake

    if dataset.phantom and not (settings.roots.raw / dataset.dataset).exists():
        from nnunet_assets.nnunet.importing.phantom import write_phantom

        progress.say(f"Generating {dataset.phantom.cases} phantom cases of {dataset.dataset}.")
        write_phantom(settings.roots.raw, dataset.dataset, dataset.phantom.cases, dataset.phantom.seed)
    progress.say(f"Reading every case of {dataset.dataset} that has changed since it was last read.")
    prepared = PreparedFolder(settings.roots, dataset.dataset)
    found, _ = look_at_raw_data(
        settings.roots,
        dataset.dataset,
        dataset.folds,
        dataset.curation,
        cache=FactCache(prepared.fact_cache),
        variables=settings.child_environment(),
    )
    page, *_ = write_intake(prepared.intake_folder, found.report, settings.places)
    progress.say(f"{found.report.headline()}; cases read: {found.n_read}. The report is in {page}")
