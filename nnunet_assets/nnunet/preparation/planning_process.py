"""The process that plans and preprocesses.

`python -m nnunet_assets.nnunet.preparation.planning_process FOLDER PARENT_PID`
"""

import json
import re
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from io import StringIO
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nnunet_assets.core.dataset.configurations import own_configurations
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import CONFIGURATIONS, Roots
from nnunet_assets.errors import DamagedFileError, first_offenders
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.preparation.case_set_making import make_case_set
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp, stamp_plans
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, note_verified
from nnunet_assets.nnunet.trainer.trainer import trainer_class
from nnunet_assets.processes.child import ChildFailure, child_main
from nnunet_assets.processes.exit_codes import ExitCode

_THREADS = SimpleNamespace(get_context=lambda _method: SimpleNamespace(Pool=ThreadPool))
"""In place of the module `multiprocessing`, as far as nnU-Net uses it."""


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
            make_case_set(dataset, configuration, request)


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

    nnunet.multiprocessing = _THREADS
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
    """Has nnU-Net extract the fingerprint; its one process, where it starts no more, is a thread of this one.

    A process would load torch anew, for seconds, and do nothing beside it.
    """
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints

    if default_num_processes <= 1:
        fingerprint_extractor.multiprocessing = _THREADS
    try:
        extract_fingerprints([dataset_id], num_processes=default_num_processes, clean=True, show_progress_bar=False)
    except IndexError as error:  # of the percentiles of no number
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"nnU-Net's fingerprint failed (IndexError: {error}). So it does where a case is cropped to what is not 0 "
            "in its images and no voxel of a label is left then, in none of the cases. `nnunet-assets check` names the "
            "cases.",
        ) from error


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


if __name__ == "__main__":
    child_main(PlanningRequest, prepare_dataset)
