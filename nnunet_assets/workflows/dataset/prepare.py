"""A dataset made ready: its raw data looked at, split, planned and preprocessed.

Each step records what it did beside the data, whoever asked for it, so that everybody else finds it up to date.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE, OnNewCases
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.splits_config import SplitsConfig
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.preparation.derived_plans import derived_plans, write_derived
from nnunet_assets.nnunet.preparation.planning import PreparedPlans, check_configuration, is_prepared, prepare
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.splits_final import Splits, ensure_splits
from nnunet_assets.nnunet.splits.splitting import groups_of
from nnunet_assets.settings import Settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.preparation.curated_dataset import CuratedDataset
    from nnunet_assets.nnunet.raw.raw_data import RawDataset


@dataclass(frozen=True)
class LookedAt:
    """A raw dataset that was looked at.

    Attributes:
        found: What it holds, with all that is wrong.
        curated: What of it is left out and repaired.
        files: The report: its page first, then the tables.
    """

    found: "RawDataset"
    curated: "CuratedDataset"
    files: Sequence[Path]

    @property
    def page(self) -> Path:
        """The page of the report."""
        return self.files[0]

    @property
    def names_digest(self) -> str:
        """Digest of what splits follow from: the names of the cases, and a split of the user's own beside them."""
        return json_sha256([*sorted(self.found.cases), *filter(None, [self.curated.splits_sha256])])


def look(settings: Settings, dataset: DatasetConfig, progress: Progress, *, rehash: bool = False) -> LookedAt:
    """Reads every case of a dataset that changed, records what was found, and writes the report.

    A declared phantom that is not there is made first.

    Args:
        settings: Where the project keeps its things.
        dataset: What is declared.
        progress: Hears of each case.
        rehash: Read every file anew, also those whose size and times are as they were.

    Raises:
        DatasetError: There is no such dataset, or nothing of it can be looked at; what is merely wrong is found.
    """
    if dataset.phantom and not (settings.roots.raw / dataset.dataset).exists():
        from nnunet_assets.nnunet.importing.phantom import write_phantom

        progress.say(f"Generating {dataset.phantom.cases} phantom cases of {dataset.dataset}.")
        write_phantom(settings.roots.raw, dataset.dataset, dataset.phantom.cases, dataset.phantom.seed)
    return look_at(
        settings,
        dataset.dataset,
        dataset.folds,
        dataset.curation,
        progress=progress,
        rehash=rehash,
        takes_split=takes_split_beside(dataset),
    )


def takes_split_beside(dataset: DatasetConfig) -> bool:
    """Says whether a split that lies beside the raw data counts: where no other file is declared."""
    return dataset.splits is None or dataset.splits.file is None


def look_at(
    settings: Settings,
    name: str,
    n_folds: int,
    curation: Curation,
    *,
    progress: Progress,
    rehash: bool = False,
    takes_split: bool = True,
) -> LookedAt:
    """Does what `look` does, of a dataset that need not be declared.

    Args:
        settings: Where the project keeps its things.
        name: `DatasetXXX_Name`.
        n_folds: Folds that the cases must suffice for.
        curation: What is to be left out and repaired.
        progress: As for `look`.
        rehash: As for `look`.
        takes_split: Whether a split that lies beside the raw data is the one that counts.

    Raises:
        DatasetError: As `look`.
    """
    # Numpy comes with them: 0.1 s, which every load of the definitions would pay.
    from nnunet_assets.nnunet.cases.fact_cache import FactCache
    from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
    from nnunet_assets.reports.pages.intake_files import write_intake

    prepared = PreparedFolder(settings.roots, name)
    found, curated = look_at_raw_data(
        settings.roots,
        name,
        n_folds,
        curation,
        progress,
        cache=FactCache(prepared.fact_cache, rehash=rehash),
        takes_split=takes_split,
        variables=settings.child_environment(),
    )
    return LookedAt(found, curated, write_intake(prepared.intake_folder, found.report, settings.places))


@dataclass(frozen=True)
class SplitDataset:
    """A dataset that is split.

    Attributes:
        made: The folds, and what was done about them.
        raw: The cases.
        groups: Case to its group; empty: none are declared.
        file: nnU-Net's `splits_final.json`.
    """

    made: Splits
    raw: RawRecord
    groups: Mapping[str, str]
    file: Path


def split(
    settings: Settings, dataset: DatasetConfig, progress: Progress, on_change: OnNewCases | None = None
) -> SplitDataset:
    """Splits a dataset as it is declared; a split that is there and fits is kept.

    Args:
        settings: Where the project keeps its things.
        dataset: What is declared.
        progress: Is warned of trained folds that a change supersedes.
        on_change: What to do where folds were trained on another split; None: as declared.

    Raises:
        NnunetAssetsError: As `ensure_splits`.
    """
    wanted, declared = dataset.split_settings(settings.project), dataset.splits or SplitsConfig()
    made = ensure_splits(
        settings.roots,
        dataset.dataset,
        wanted,
        on_new_cases=on_change or declared.on_new_cases,
        renew=on_change == "renew",
        progress=progress,
    )
    prepared = PreparedFolder(settings.roots, dataset.dataset)
    raw = read_raw(prepared)
    return SplitDataset(made, raw, groups_of(wanted, raw), prepared.folder / SPLITS_FILE)


@dataclass(frozen=True)
class Wanted:
    """What experiments want of a dataset.

    Attributes:
        plans: Plans identifier.
        configurations: As for `prepare`.
        trainers: As for `prepare`.
    """

    plans: str
    configurations: Sequence[str]
    trainers: Sequence[str]


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset that is planned and preprocessed.

    Attributes:
        made: What there is, and what of it was made now.
        digest: Of the raw data and the plans, from which all that follows is made.
    """

    made: PreparedPlans
    digest: str


def plan(
    settings: Settings, dataset: DatasetConfig, wanted: Wanted, progress: Progress, *, despite_changes: bool = False
) -> PlannedDataset:
    """Plans and preprocesses a dataset for what experiments want; what is up to date is left alone.

    Args:
        settings: Where the project keeps its things.
        dataset: What is declared.
        wanted: What is wanted of it.
        progress: As for `prepare`.
        despite_changes: As for `prepare`.

    Raises:
        NnunetAssetsError: As `prepare`.
    """
    made = prepare(
        settings.roots,
        dataset.dataset,
        wanted.plans,
        configurations=wanted.configurations,
        trainers=wanted.trainers,
        environment=settings.child_environment(),
        verify_integrity=dataset.verify_integrity,
        despite_changes=despite_changes,
        progress=progress,
    )
    raw_hash = read_raw(PreparedFolder(settings.roots, dataset.dataset)).content_hash
    return PlannedDataset(made, json_sha256([raw_hash, made.plans_hash]))


def ensure_prepared(
    settings: Settings,
    project: Project,
    config: ExperimentConfig,
    progress: Progress,
    *,
    despite_changes: bool = False,
    before_work: Callable[[], None] = lambda: None,
    before_planning: Callable[[PreparedDataset], object] = lambda _: None,
) -> PreparedDataset:
    """Makes what a fold of the experiment needs and is not there; what is there is left alone. Returns the dataset.

    One process at a time does it for a dataset: what another one made while this one waited is found here.

    Args:
        settings: Where the project keeps its things.
        project: What it declares.
        config: The experiment.
        progress: Hears what happens meanwhile.
        despite_changes: As for `prepare`.
        before_work: Called before anything that takes long; what it raises spares it. Perhaps called twice.
        before_planning: As `before_work`, with the dataset once it is split and before it is planned.

    Raises:
        DatasetError: The raw data is not there or contradicts itself.
        PlanningError: The plans do not have the configuration, and no planning would make it; or planning or
            preprocessing failed.
    """
    prepared = PreparedFolder(settings.roots, config.dataset)
    plans = check_configuration(prepared, config.plans, config.configuration)
    if plans:  # refused before any work where it can be
        derived_plans(plans, config.sizes, config.configuration)
    dataset = project.dataset_or_default(config.dataset)
    raw = _looked_at(prepared)
    if raw is None or not _is_split(prepared):
        before_work()
        # Two processes that begin together would otherwise decide on what the other is about to change.
        with prepared.preparing(progress):
            if _looked_at(prepared) is None:
                progress.say(f"Reading every case of {config.dataset} that has changed since it was last read.")
                looked = look(settings, dataset, progress)
                read = f"{looked.found.report.headline()}; cases read: {looked.found.n_read}."
                progress.say(f"{read} The report is in {looked.page}")
            if not _is_split(prepared):
                progress.say(f"Splitting {config.dataset} into {dataset.folds} folds.")
                split(settings, dataset, progress)
        raw, plans = read_raw(prepared), check_configuration(prepared, config.plans, config.configuration)
    # `prepare` holds the dataset by itself, and looks again.
    found = PreparedDataset(prepared, raw, plans) if plans else None
    if found is None or not is_prepared(found, config.configuration):
        before_work()
        # Plans that cannot be read now decide nothing of the split.
        before_planning(found or PreparedDataset(prepared, raw, Plans(prepared.plans_file(config.plans), None)))
        progress.say(f"Planning and preprocessing {config.dataset} for {config.plans}, {config.configuration}.")
        wanted = Wanted(config.plans, (config.configuration,), (config.trainer,))
        plan(settings, dataset, wanted, progress, despite_changes=despite_changes)
        found = PreparedDataset.read(prepared, config.plans)
    return _on_derived(found, config)


def prepared_for(roots: Roots, config: ExperimentConfig) -> PreparedDataset:
    """Returns the dataset as it is, with the plans of an experiment: derived for it where its variant has sizes.

    Raises:
        PlanningError: As `read_raw`; or its configuration cannot have the sizes, or somebody edited what was derived.
        DamagedFileError: A record, or the plans, are damaged.
    """
    return _on_derived(PreparedDataset.read(PreparedFolder(roots, config.dataset), config.plans), config)


def _on_derived(dataset: PreparedDataset, config: ExperimentConfig) -> PreparedDataset:
    """Returns the dataset with the derived plans, which are on the disk then."""
    derived = derived_plans(dataset.plans, config.sizes, config.configuration)
    if derived is not dataset.plans:
        write_derived(dataset.place, derived)
    return replace(dataset, plans=derived)


@dataclass(frozen=True)
class Readiness:
    """What `ensure_prepared` would find.

    Attributes:
        raw: The raw data as it was looked at; None: it would be looked at.
        is_split: Whether there is a split.
        dataset: Planned and preprocessed for the experiment; None: it would be.
    """

    raw: RawRecord | None
    is_split: bool
    dataset: PreparedDataset | None


def readiness(settings: Settings, config: ExperimentConfig) -> Readiness:
    """Returns what a fold of the experiment would find of what it needs; nothing is written.

    Raises:
        PlanningError: As `ensure_prepared`, where the plans will never have the configuration.
    """
    prepared = PreparedFolder(settings.roots, config.dataset)
    plans, raw = check_configuration(prepared, config.plans, config.configuration), _looked_at(prepared)
    found = PreparedDataset(prepared, raw, plans) if raw and plans else None
    if found is None or not is_prepared(found, config.configuration):
        return Readiness(raw, _is_split(prepared), None)
    derived = derived_plans(found.plans, config.sizes, config.configuration)
    return Readiness(raw, _is_split(prepared), replace(found, plans=derived))


def _looked_at(prepared: PreparedFolder) -> RawRecord | None:
    """Returns what is known of the raw data; None where it has to be looked at: never, or put right since."""
    try:
        return read_raw(prepared)
    except (PlanningError, DamagedFileError):
        return None


def _is_split(prepared: PreparedFolder) -> bool:
    # A file that is there is the user's own, and a fold checks it.
    return (prepared.folder / SPLITS_FILE).exists()
