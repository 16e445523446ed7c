"""The process that plans and preprocesses.

`python -m nnunet_assets.nnunet.preparation.planning_process FOLDER PARENT_PID`
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nnunet_assets.core.dataset.configurations import own_configurations
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import fsync_path, write_atomically
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import CONFIGURATIONS, Roots
from nnunet_assets.errors import DamagedFileError, first_offenders
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.preparation.case_preprocessing import CaseJob, has_own_loop, make_cases, make_cases_by_nnunet
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.case_sets import (
    CaseSet,
    FileRecord,
    Ingredients,
    is_shown,
    remove_unwanted,
    sets_in,
    show,
)
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp, stamp_plans
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset, wanted_digests
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, note_verified
from nnunet_assets.nnunet.training.trainer import trainer_class
from nnunet_assets.processes.child import ChildFailure, child_main
from nnunet_assets.processes.disk_space import lacking_room
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.memory import (
    fitting_processes,
    free_memory_bytes,
    largest_case_bytes,
    least_saved_bytes,
)


def prepare_dataset(request: PlanningRequest) -> None:
    """Plans where asked to, then preprocesses for each wanted configuration the cases that are not there."""
    for trainer in request.trainers:
        trainer_class(trainer)
    prepared = PreparedFolder(_roots(), request.dataset)
    plans = request.plans
    dataset_id = int(request.dataset[7:10])
    kept = None if request.planner else prepared.plans_file(plans)
    raw_json = curated_folder(prepared) / DATASET_JSON
    refuse_foreign_code_in_child(kept, raw_json)
    if request.verify_integrity:
        _verify_integrity(raw_json.parent)
        note_verified(prepared, request.verified)
    if request.planner:
        own = _own_configurations(prepared, plans)
        # In the record too: a kill must not cost the user what the planner does not make.
        begun = {**request.made_from, "own_configurations": own}
        stamp_plans(prepared, plans, begun, plans_hash=None)
        # Where there is a file, nnU-Net keeps its configurations that are not planned any more, and needs it whole.
        prepared.plans_file(plans).unlink(missing_ok=True)
        _extract_fingerprint(dataset_id)
        _plan(dataset_id, request.planner)
        _add_configurations(prepared.plans_file(plans), own)
        refuse_foreign_code_in_child(prepared.plans_file(plans), raw_json)
        planned = prepared.plans(plans)
        memory = _gpu_memory(planned, request.planner)
        stamp_plans(prepared, plans, {**request.made_from, "gpu_memory_gb": memory}, planned.planned_digest)
    else:
        _complete_own_plans(prepared, dataset_id)
    dataset = PreparedDataset.read(prepared, plans)
    for configuration in dataset.plans.needed(request.configurations):
        with prepared.writing(dataset.plans.cases_folder(configuration)):
            _make_case_set(dataset, configuration, request)


def _make_case_set(dataset: PreparedDataset, configuration: str, request: PlanningRequest) -> None:
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


def _roots() -> Roots:
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results

    return Roots(Path(nnUNet_raw), Path(nnUNet_preprocessed), Path(nnUNet_results))


def _verify_integrity(raw_folder: Path) -> None:
    """Runs nnU-Net's own check of the raw data; what it prints about single cases becomes part of the error.

    In threads, where nnU-Net starts processes that each load torch anew: reading, unpacking and looking at a file all
    let other threads run.
    """
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning import verify_dataset_integrity as nnunet

    nnunet.multiprocessing = SimpleNamespace(get_context=lambda _method: SimpleNamespace(Pool=ThreadPool))
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            nnunet.verify_dataset_integrity(str(raw_folder), default_num_processes)
    except Exception as error:  # noqa: BLE001 (its libraries raise anything on a file that they cannot read)
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"nnU-Net's own integrity check does not agree with {raw_folder}: {_without_contents(error)}"
            f"\n{first_offenders(_about_cases(printed.getvalue()))}\nPut it right. Or, where the files are NIfTI and "
            "nnU-Net is mistaken, turn its check off: `verify_integrity: false` in the dataset's declaration.",
        ) from None
    finally:
        print(printed.getvalue(), flush=True)


def _without_contents(error: Exception) -> str:
    """Returns what an error says, where it is nnU-Net's own; a library's may quote the file that it cannot read."""
    origin = error.__traceback__
    while origin and origin.tb_next:
        origin = origin.tb_next
    module = str(origin.tb_frame.f_globals.get("__name__")) if origin else ""
    if module.partition(".")[0] == "nnunetv2" or isinstance(error, FileNotFoundError):
        return str(error)
    named = re.search(r'"(/[^"]*)"', str(error))  # SimpleITK's way
    return f"a file cannot be read ({type(error).__name__}){f': {named[1]}' if named else ''}"


def _about_cases(printed: str) -> list[str]:
    """Returns what nnU-Net's check printed about each case, one line a finding, without its warnings."""
    errors = ("Error: ", "Images contain NaN", "Segmentation contains NaN")
    paragraphs = re.split(rf"^(?={'|'.join(errors)}|Warning: |WARNING: )", printed, flags=re.MULTILINE)
    return [" ".join(text.split()) for text in paragraphs if text.startswith(errors)]


def _extract_fingerprint(dataset_id: int) -> None:
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints

    extract_fingerprints([dataset_id], num_processes=default_num_processes, clean=True, show_progress_bar=False)


def _plan(dataset_id: int, planner: str) -> None:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments

    plan_experiments([dataset_id], planner)


def _own_configurations(prepared: PreparedFolder, plans: str) -> dict[str, Any]:
    """Returns the configurations that a user added to the plans, of before an interruption where there was one."""
    with suppress(DamagedFileError):  # torn while it was made
        if content := prepared.plans(plans).content:
            return own_configurations(content) or _noted(prepared, plans)
    return _noted(prepared, plans)


def _noted(prepared: PreparedFolder, plans: str) -> dict[str, Any]:
    noted: dict[str, Any] = (plans_stamp(prepared, plans) or {}).get("own_configurations", {})
    return noted


def _add_configurations(plans_file: Path, own: Mapping[str, Any]) -> None:
    """Gives new plans the configurations that a user added to the old ones, as nnU-Net's own planner does."""
    if own:
        content = load_json(plans_file)
        added = {**content, "configurations": {**content["configurations"], **own}}
        write_atomically(plans_file, json.dumps(added, indent=4).encode())


def _gpu_memory(plans: Plans, planner: str) -> dict[str, float]:
    """Returns the GPU memory in GB that the planner aims at, as `target`, and what it expects by configuration.

    The planner's own linear rule, by which it chose patch and batch size: voxels in the feature maps against those of
    a network that was measured.
    """
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = str(Path(nnunetv2.__path__[0]) / "experiment_planning")
    found = recursive_find_python_class(folder, planner, current_module="nnunetv2.experiment_planning")(
        plans.file.parent.name
    )
    description = found.dataset_json
    n_channels = len(description.get("channel_names", description.get("modality")))
    memory = {"target": float(found.UNet_vram_target_GB)}
    for configuration, plan in plans.configurations.items():
        if configuration not in CONFIGURATIONS:  # the planner's rule says nothing of a user's
            continue
        is_2d = len(plan["patch_size"]) == 2
        network = plan["architecture"]
        voxels = found.static_estimate_VRAM_usage(
            plan["patch_size"],
            n_channels,
            len(description["labels"]),
            network["network_class_name"],
            network["arch_kwargs"],
            network["_kw_requires_import"],
        )
        measured = found.UNet_reference_val_2d if is_2d else found.UNet_reference_val_3d
        batch = found.UNet_reference_val_corresp_bs_2d if is_2d else found.UNet_reference_val_corresp_bs_3d
        relative = float(voxels) / measured * plan["batch_size"] / batch
        memory[configuration] = round(relative * found.UNet_reference_val_corresp_GB, 2)
    return memory


def _complete_own_plans(prepared: PreparedFolder, dataset_id: int) -> None:
    """Puts beside plans that nobody planned here what nnU-Net's planning puts there and its training needs."""
    description = (_roots().raw / prepared.dataset / "dataset.json").read_bytes()
    copy = prepared.folder / "dataset.json"
    if not copy.exists() or copy.read_bytes() != description:
        write_atomically(copy, description)
    if not (prepared.folder / "dataset_fingerprint.json").exists():
        _extract_fingerprint(dataset_id)


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


if __name__ == "__main__":
    child_main(PlanningRequest, prepare_dataset)
