"""A raw dataset is looked at before anything is made from it, and its split; what can be put right in copies is.

What the user decides is noted beside the data; the files in nnUNet_raw stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.split_promises import SplitPromise, split_promises
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.nnunet.raw.raw_root import dataset_folder, refuse_bad_name
from nnunet_assets.nnunet.splits.splitting import groups_of
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset.prepare import LookedAt, look_at, takes_split_beside

if TYPE_CHECKING:
    from nnunet_assets.nnunet.preparation.curation_file import ProposedFixes


def check(
    settings: Settings,
    name: str,
    progress: Progress,
    *,
    n_folds: int | None = None,
    files_from: Sequence[str] = (),
    rehash: bool = False,
) -> LookedAt:
    """Reads every case of a dataset that changed, declared or not, and returns what is wrong with it.

    Args:
        settings: Where the project keeps its things.
        name: `DatasetXXX_Name`.
        progress: Hears of each case.
        n_folds: Folds that the cases must suffice for; None: as declared, else nnU-Net's.
        files_from: Folders in which files that dataset.json lists may lie, beside those that are declared.
        rehash: As for `look_at`.

    Raises:
        DatasetError: As `look_at`.
    """
    refuse_bad_name(name)
    dataset = declared_if_any(settings.project).dataset_or_default(name)
    curation = dataset.curation.over(Curation(files_from=tuple(files_from)))
    return look_at(
        settings,
        name,
        n_folds or dataset.folds,
        curation,
        progress=progress,
        rehash=rehash,
        takes_split=takes_split_beside(dataset),
    )


@dataclass(frozen=True)
class FixReport:
    """What was decided about findings.

    Attributes:
        fixes: What can be done, and what is left to the user.
        file: Where it is noted; None: nothing can be done.
    """

    fixes: "ProposedFixes"
    file: Path | None


def fix(settings: Settings, looked: LookedAt) -> FixReport:
    """Leaves cases with errors out, and has headers that differ a little put right in copies; see `propose_fixes`."""
    # Numpy comes with it.
    from nnunet_assets.nnunet.preparation.curation_file import propose_fixes, read_curation, write_curation

    prepared = PreparedFolder(settings.roots, looked.found.name)
    fixes = propose_fixes(
        settings.roots,
        looked.found.name,
        looked.found.findings,
        quarantined=looked.curated.quarantined,
        repaired=[repair.file for repair in looked.curated.repairs],
        variables=settings.child_environment(),
    )
    if fixes.curation == Curation():
        return FixReport(fixes, None)
    return FixReport(fixes, write_curation(prepared, fixes.curation.over(read_curation(prepared))))


def undo(settings: Settings, name: str) -> bool:
    """Takes back what `fix` decided; returns whether there was anything.

    Raises:
        DatasetError: There is no such dataset.
    """
    from nnunet_assets.nnunet.preparation.curation_file import remove_curation

    dataset_folder(settings.roots.raw, name)  # a name that is none must lead nowhere
    return remove_curation(PreparedFolder(settings.roots, name))


def check_split(settings: Settings, dataset: DatasetConfig, wanted: SplitSettings) -> list[SplitPromise]:
    """Returns which promises of a cross-validation the split keeps that is there now.

    Args:
        settings: Where the project keeps its things.
        dataset: What is declared.
        wanted: How it is declared to be split.

    Raises:
        NnunetAssetsError: The raw data was never looked at, or the split or the groups cannot be read.
    """
    folder = PreparedFolder(settings.roots, dataset.dataset)
    raw = read_raw(folder)
    found = read_splits(folder.folder)
    return split_promises(
        found,
        raw.cases,
        wanted.n_folds,
        image_hashes=raw.image_hashes,
        label_volumes_ml=raw.label_volumes_ml,
        groups=groups_of(wanted, raw) if wanted.groups else None,
    )
