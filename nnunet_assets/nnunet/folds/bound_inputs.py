"""A folder `nnUNet_preprocessed` of a fold's own, which nobody changes while the fold trains.

nnU-Net reads plans, splits, references and cases from its folder whenever it needs them: at the start, at every batch,
after each restart and at the validation, days later. Data that is prepared anew meanwhile would mix into a running
fold. So its process is given a root in which these are as they were when the fold began.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/bound/ID/`: `owner.lock`, held by the process that owns the
fold, `DATASET/` with copies of the small files, links of the references, and links to the sets of cases; and for a job
that reads them, perhaps longer than that process lives, `used_by_job`, its folder, and `read_locks`, the locks of the
sets.
"""

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.files.file_age import age_seconds
from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.engines.job_files import READ_LOCKS_FILE, is_used_by_job
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, link_or_copy
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import REFERENCES, PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_roots

JUST_MADE_SECONDS = 60
"""A younger folder may be another fold's that has not got its lock yet."""


@contextmanager
def bound_roots(dataset: PreparedDataset, experiment: Experiment) -> Iterator[Roots]:
    """Yields the roots of a fold's process: `preprocessed` is as it is now, whatever is made anew meanwhile.

    Raises:
        PlanningError: The cases are not preprocessed, or not any more.
        FoldError: Files of preprocessed cases are damaged, or references are not the labels that they were made with.
    """
    prepared = dataset.place
    place = prepared.own / "bound" / uuid.uuid4().hex
    with ExitStack() as stack:
        sets: dict[str, CaseSet] = {}
        for configuration in dataset.plans.needed([experiment.configuration]):
            case_set = dataset.case_set(configuration)
            stack.enter_context(case_set.reading())
            _refuse_damaged(case_set, prepared.references, experiment, configuration)
            name = dataset.plans.cases_folder(configuration).name
            if sets.setdefault(name, case_set).folder != case_set.folder:
                raise FoldError(
                    f"{experiment.title}: {configuration} has the data_identifier {name!r} of another configuration "
                    "that this fold reads, and other cases: nnU-Net would read those of one of them for both. Give it "
                    f"a data_identifier of its own in {dataset.plans.file}."
                )
        _remove_left(place.parent)
        # After the lock is closed: on network drives an open file cannot go. What stays, the next fold removes.
        stack.callback(_remove_unless_used, place)
        (place / experiment.dataset).mkdir(parents=True)
        owner = stack.enter_context((place / "owner.lock").open("w"))
        flock(owner, fcntl.LOCK_EX)
        for name, case_set in sets.items():
            _link_folder(case_set.cases, place / experiment.dataset / name)
        _bind_rest(prepared, place / experiment.dataset, experiment.plans)
        (place / READ_LOCKS_FILE).write_text("".join(f"{one.readers_lock}\n" for one in sets.values()))
        yield replace(curated_roots(prepared, dataset.raw.curation), preprocessed=place)


def _remove_unless_used(place: Path) -> None:
    """Removes what was bound, unless a job still reads it: who supervised that may be gone, or could not end it."""
    if not is_used_by_job(place):
        shutil.rmtree(place, ignore_errors=True)


def _bind_rest(prepared: PreparedFolder, folder: Path, plans: str) -> None:
    for name in (f"{plans}.json", "dataset.json", "dataset_fingerprint.json", SPLITS_FILE):
        if (prepared.folder / name).exists():
            shutil.copyfile(prepared.folder / name, folder / name)
    (folder / REFERENCES).mkdir()
    # A reference that is corrected takes another file's place and leaves this one as it was.
    for path in prepared.references.glob("[!.]*"):
        link_or_copy(path, folder / REFERENCES / path.name)


def _link_folder(source: Path, target: Path) -> None:
    names = [path.name for path in source.iterdir()]
    # By what lies there nnU-Net infers its format, and knows none of .DS_Store.
    wanted = [name for name in names if not is_dropping(name)]
    if wanted == names:
        with suppress(OSError):  # a file system without symbolic links
            target.symlink_to(source.resolve(), target_is_directory=True)
            return
    target.mkdir()
    for name in wanted:
        link_or_copy(source / name, target / name)


def _remove_left(folder: Path) -> None:
    """Removes what folds left whose owner was killed."""
    for left in folder.glob("*/owner.lock"):
        with suppress(FileNotFoundError), left.open("r+") as file:  # another fold that starts may be first
            if age_seconds(left) < JUST_MADE_SECONDS:
                continue
            try:
                flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove_unless_used(left.parent)


def _refuse_damaged(case_set: CaseSet, references: Path, experiment: Experiment, configuration: str) -> None:
    if changed := case_set.changed_references(references):
        raise FoldError(
            f"{experiment.title}: the references of {len(changed)} cases are not, or not known to be, the labels that "
            f"the cases were preprocessed with ({first_offenders(changed)}; in {references}). Materialize "
            "preprocessed_plans again: they are copied anew."
        )
    if damaged := case_set.damaged():
        raise FoldError(
            f"{experiment.title}: the preprocessed files of {len(damaged)} cases for {configuration} were damaged or "
            f"deleted ({first_offenders(damaged)}; in {case_set.cases}). Materialize preprocessed_plans again: only "
            "these cases are made anew."
        )
