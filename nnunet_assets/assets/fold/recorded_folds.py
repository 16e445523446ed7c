"""What a Dagster instance recorded of folds: the models that it saw materialize, where their folders lie.

The numbers are those on the disk, and only where the disk holds the very fold that Dagster recorded last: another one
is an error, which names it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.fold.partitions import folds_key
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_sha256, read_committed
from nnunet_assets.core.summary.cv_groups import CvGroup
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import BehindError, first_offenders
from nnunet_assets.nnunet.results.results_folder import FolderRecord, Model, experiment_of

FOLD_ASSET = "fold_model"

COMMITS_METADATA = "folds"
"""Of an ensemble: fold to the digest that names it."""


@dataclass(frozen=True)
class RecordedFold:
    """A fold as Dagster saw it last."""

    folder: Path
    data_version: str


class DagsterRecord:
    """What an instance recorded; see `core.summary.cv_groups.CvRecord`."""

    def __init__(self, instance: dg.DagsterInstance, roots: Roots) -> None:
        folds = [
            _where_it_is_now(fold, roots)
            for key in instance.all_asset_keys()
            if key.path[-1] == FOLD_ASSET
            for fold in recorded_folds(instance, key)
        ]
        self._versions = {fold.folder: fold.data_version for fold in folds}
        found = {folder: experiment_of(folder) for folder in sorted({fold.folder.parent for fold in folds})}
        self.place = "Dagster's record"
        self._folders = FolderRecord(
            [Model(experiment, folder) for folder, experiment in found.items() if experiment], self.place
        )

    def experiments(self) -> Mapping[str, Sequence[CvGroup]]:
        """Returns each dataset with its groups."""
        return self._folders.experiments()

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, ScoredSummary]:
        """Returns a group of a dataset and what its recorded folds say together."""
        group, summary = self._folders.summary(name, cv_group, expected)
        self._check(group, summary)
        return group, summary

    def other_groups(self, name: str, group: CvGroup) -> Sequence[str]:
        """Returns the names of the other groups of a dataset."""
        return self._folders.other_groups(name, group)

    def _check(self, group: CvGroup, summary: ScoredSummary) -> None:
        """Refuses folds that are not those that Dagster recorded."""
        folders = {
            folder.name: folder
            for folder in self._versions
            if (experiment := experiment_of(folder.parent)) and experiment == group.experiment
        }
        odd = [
            fold
            for fold in summary.completed_folds
            if fold not in folders or commit_sha256(folders[fold]) != self._versions[folders[fold]]
        ]
        gone = [fold for fold in folders if fold in summary.missing_folds and not read_committed(folders[fold])]
        if odd or gone:
            raise BehindError(
                f"{first_offenders([*odd, *gone])} of {group.name} on the disk is not what Dagster recorded. "
                "Materialize it, which trains no finished fold again, or read the disk alone with --source results."
            )


def _where_it_is_now(fold: RecordedFold, roots: Roots) -> RecordedFold:
    """Returns the fold in the project's results, where these were moved since it was recorded."""
    experiment = experiment_of(fold.folder.parent)
    if experiment is None or fold.folder.is_dir():
        return fold
    now = experiment.fold_folder(roots, fold.folder.name)
    return replace(fold, folder=now) if now.is_dir() else fold


def recorded_folds(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[RecordedFold]:
    """Returns the latest materialization of each fold of an experiment."""
    newest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    if not newest:
        return []
    wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(newest.values()))
    events = instance.fetch_materializations(wanted, limit=len(newest)).records
    found = [event.asset_materialization for event in events if event.asset_materialization]
    return [
        RecordedFold(Path(str(folder.value)), (event.tags or {}).get("dagster/data_version", ""))
        for event in found
        if (folder := event.metadata.get("folder")) is not None
    ]


def recorded_commits(instance: dg.DagsterInstance, experiment: Experiment) -> dict[str, str]:
    """Returns fold to the digest by which an instance knows it, of an experiment or of an ensemble of several."""
    key = folds_key(experiment)
    if not experiment.is_ensemble:
        return {fold.folder.name: fold.data_version for fold in recorded_folds(instance, key)}
    event = instance.get_latest_materialization_event(key)
    materialized = event.asset_materialization if event else None
    commits = materialized.metadata.get(COMMITS_METADATA) if materialized else None
    found = commits.value if commits else None
    return {str(fold): str(commit) for fold, commit in found.items()} if isinstance(found, Mapping) else {}
