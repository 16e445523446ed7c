"""The preprocessed cases of one configuration: what is missing is made, and the references are their labels.

How many cases are made at once, memory and processors say; whether they certainly do not fit on the disk, the disk.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import fsync_path
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.preparation.case_preprocessing import CaseJob, has_own_loop, make_cases, make_cases_by_nnunet
from nnunet_assets.nnunet.preparation.case_sizes import fitting_processes, largest_case_bytes, least_saved_bytes
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.case_records import FileRecord, Ingredients
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, is_shown, remove_unwanted, sets_in, show
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset, wanted_digests
from nnunet_assets.nnunet.prepared.raw_records import curated_folder
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.disk_space import lacking_room
from nnunet_assets.processes.machine.memory import free_memory_bytes


def make_case_set(dataset: PreparedDataset, configuration: str, request: PlanningRequest) -> None:
    """Makes what is missing of a configuration's cases beside what is there, shows it, and removes what nobody reads.

    What another process made while this one waited is found here, and nothing is left to do.
    """
    prepared, plans = dataset.place, dataset.plans
    case_set, shown = dataset.case_set(configuration), plans.cases_folder(configuration)
    changed = case_set.changed_references(prepared.references) if case_set.is_whole else []
    damaged = case_set.damaged() if case_set.is_whole else []
    if not case_set.is_whole or changed or damaged:
        # A whole one may be of another last number of nnU-Net's version.
        whole = case_set.ingredients() if case_set.is_whole else None
        wanted = whole or dataset.ingredients(configuration)
        case_set.begin(wanted, _why(dataset.earlier_ingredients(configuration), wanted, damaged, changed))
        _reuse_cases(case_set, wanted)
        there = case_set.records()
        jobs = _jobs(case_set, dataset, configuration, wanted)
        if missing := [job for job in jobs if job.case not in there or job.case in damaged]:
            sizes = _sizes(dataset, configuration)
            _refuse_too_little_room(prepared.folder, configuration, least_saved_bytes(*sizes), len(missing) / len(jobs))
            n_processes = _n_processes(request, largest_case_bytes(*sizes))
            print(f"{configuration}: {len(missing)} of {len(wanted.raw)} cases, {n_processes} at once.", flush=True)
            make = make_cases_by_nnunet if has_own_loop(plans.file, configuration) else make_cases
            make(missing, n_processes)
        # First, so that whole cases vouch for the references too.
        _refresh_references(prepared.references, case_set, jobs)
        case_set.finish()
    if not is_shown(case_set, shown):
        show(case_set, shown)
    remove_unwanted(case_set.folder.parent, wanted_digests(prepared, shown))
    # What an older version of this package noted about its cases, which were made anew.
    for suffix in (".json", ".lock"):
        case_set.folder.parent.with_name(shown.name + suffix).unlink(missing_ok=True)


def _why(earlier: Ingredients | None, now: Ingredients, damaged: Sequence[str], changed: Sequence[str]) -> str:
    if damaged:
        return f"the files of {len(damaged)} cases were damaged ({first_offenders(damaged)})"
    if changed:
        return f"the references of {len(changed)} cases are not their labels ({first_offenders(changed)})"
    return "; ".join(earlier.differences(now)) if earlier else "none was preprocessed before"


def _reuse_cases(case_set: CaseSet, wanted: Ingredients) -> None:
    """Takes from other sets, whole or not, the cases that were made from the same."""
    there = set(case_set.records())
    for other in sets_in(case_set.folder.parent):
        ingredients = other.ingredients()
        if ingredients is None or ingredients.read != wanted.read:
            continue
        for case, record in other.records().items():
            is_same = case not in there and wanted.raw.get(case) == record.raw
            if is_same and case_set.reuse(case, record, other):
                there.add(case)


def _jobs(case_set: CaseSet, dataset: PreparedDataset, configuration: str, wanted: Ingredients) -> list[CaseJob]:
    raw_folder = curated_folder(dataset.place, dataset.raw.curation)
    files = _raw_files(raw_folder)
    if unknown := [case for case in wanted.raw if case not in files]:
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"{raw_folder} lacks cases that it had when it was last looked at: {first_offenders(unknown)}. "
            "Materialize raw_dataset again.",
        )
    description, looked_at = load_json(dataset.place.folder / DATASET_JSON), dataset.raw
    return [
        CaseJob(
            case=case,
            raw=raw,
            looked_at=raw if case in looked_at.case_hashes else None,
            images=tuple(files[case]["images"]),
            label=files[case]["label"],
            plans_file=dataset.plans.file,
            configuration=configuration,
            description=description,
            set_folder=case_set.folder,
            companions=tuple((of, path, sha256) for of, path, sha256 in looked_at.companions.get(case, ())),
        )
        for case, raw in wanted.raw.items()
    ]


def _sizes(dataset: PreparedDataset, configuration: str) -> tuple[dict[str, Any], ...]:
    """Returns the fingerprint, the plans and the configuration's plan, which say how large the cases are."""
    fingerprint = load_json(dataset.place.folder / "dataset_fingerprint.json")
    return fingerprint, dict(dataset.plans.content or {}), dataset.plans.configurations[configuration]


def _refuse_too_little_room(folder: Path, configuration: str, saved_bytes: int, part: float) -> None:
    """Refuses to begin with cases that certainly do not fit on the disk.

    Args:
        folder: Where they go.
        configuration: For the message.
        saved_bytes: What all cases take at the least.
        part: Of all cases, what is to be made.
    """
    if lack := lacking_room(folder, round(saved_bytes * part), f"Preprocessing for {configuration} needs"):
        raise ChildFailure(ExitCode.NO_SPACE, f"{lack} Make room, or set nnUNet_preprocessed to another disk.")


def _n_processes(request: PlanningRequest, largest_bytes: int) -> int:
    """Returns how many cases are preprocessed at once: the user's number, or as many as memory and processors allow."""
    n = request.n_processes
    if not request.n_processes_is_set:
        n = min(n, fitting_processes(free_memory_bytes(), largest_bytes))
    return max(1, n >> request.n_halvings)


def _raw_files(raw_folder: Path) -> dict[str, dict[str, Any]]:
    """Returns the raw files by case, as nnU-Net finds them: `images` by channel and `label`."""
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    description = load_json(raw_folder / DATASET_JSON)
    files: dict[str, dict[str, Any]] = get_filenames_of_train_images_and_targets(str(raw_folder), description)
    return files


def _refresh_references(folder: Path, case_set: CaseSet, jobs: Sequence[CaseJob]) -> None:
    """Makes `gt_segmentations`, the references of every validation, equal to the labels the cases were made with.

    nnU-Net's own copies only labels with a newer time, without the files beside them: a corrected label with an old
    one would never be used, and the spacing of a 3D TIFF is lost.
    """
    folder.mkdir(exist_ok=True)
    records, kept = case_set.records(), set[str]()
    for job in jobs:
        record = records[job.case]
        wanted = {job.reference, *job.beside_reference()}
        if not wanted <= set(record.references):  # an older version made the case
            record = replace(record, references=job.references())
            case_set.note(job.case, record)
        sources = {job.reference: Path(job.label), **job.beside_reference()}
        for name, source in sources.items():
            if not record.references[name].is_of(folder / name, every_byte=True):
                _copy_label(job, source, record.references[name], folder / name)
        kept |= wanted
    for stray in {path.name for path in folder.iterdir()} - kept:
        (folder / stray).unlink()
    fsync_path(folder)


def _copy_label(job: CaseJob, source: Path, label: FileRecord, place: Path) -> None:
    copy = place.with_name(f".{place.name}")
    shutil.copyfile(source, copy)
    if not label.is_of(copy, every_byte=True):
        raise job.changed()
    # By its time it is known without being read.
    os.utime(copy, ns=(label.mtime_ns, label.mtime_ns))
    fsync_path(copy)
    copy.replace(place)
