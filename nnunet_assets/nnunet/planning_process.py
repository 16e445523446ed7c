"""The process that plans and preprocesses: `python -m nnunet_assets.nnunet.planning_process FOLDER PARENT_PID`."""

import filecmp
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.core.layout import Roots
from nnunet_assets.core.provenance import write_atomically
from nnunet_assets.nnunet.child import ChildFailure, child_main
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.nnunet.trainer import unknown_trainer


def prepare_dataset(request: Mapping[str, Any]) -> None:
    """Plans where asked to, then preprocesses each wanted configuration whose cases are not up to date."""
    _check_trainers(request["trainers"])
    prepared = PreparedDataset(_roots(), request["dataset"])
    plans = request["plans"]
    dataset_id = int(request["dataset"][7:10])
    if request["verify_integrity"]:
        _verify_integrity(prepared.dataset)
    if request["replan"]:
        prepared.stamp_plans(plans, request["made_from"], plans_hash=None)
        # Where there is a file, nnU-Net keeps its configurations that are not planned any more, and needs it whole.
        prepared.plans_file(plans).unlink(missing_ok=True)
        _extract_fingerprint(dataset_id)
        _plan(dataset_id, request["made_from"]["planner"])
        prepared.stamp_plans(plans, request["made_from"], prepared.plans_hash(plans))
    else:
        _complete_own_plans(prepared, dataset_id)
    for configuration in prepared.needed_configurations(plans, request["configurations"]):
        made_from = prepared.cases_made_from(plans, configuration)
        if prepared.cases_stamp(plans, configuration) == made_from:
            continue
        with prepared.lock(plans, configuration, "write"):
            prepared.unstamp_cases(plans, configuration)
            _preprocess(dataset_id, plans, configuration)
            _refresh_references(prepared)
            prepared.stamp_cases(plans, configuration, made_from)


def _roots() -> Roots:
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw, nnUNet_results

    return Roots(Path(nnUNet_raw), Path(nnUNet_preprocessed), Path(nnUNet_results))


def _check_trainers(trainers: list[str]) -> None:
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    for trainer in trainers:
        try:
            recursive_find_trainer_class_by_name(trainer)
        except RuntimeError as error:
            raise ChildFailure(ExitCode.BAD_INPUT, unknown_trainer(trainer)) from error


def _verify_integrity(dataset: str) -> None:
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.paths import nnUNet_raw

    try:
        verify_dataset_integrity(str(Path(nnUNet_raw) / dataset), default_num_processes)
    except (RuntimeError, AssertionError) as error:
        raise ChildFailure(ExitCode.BAD_INPUT, f"nnU-Net's integrity check of {dataset} failed: {error}") from error


def _extract_fingerprint(dataset_id: int) -> None:
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints

    extract_fingerprints([dataset_id], num_processes=default_num_processes, clean=True, show_progress_bar=False)


def _plan(dataset_id: int, planner: str) -> None:
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments

    plan_experiments([dataset_id], planner)


def _complete_own_plans(prepared: PreparedDataset, dataset_id: int) -> None:
    """Puts beside plans that nobody planned here what nnU-Net's planning puts there and its training needs."""
    description = (_roots().raw / prepared.dataset / "dataset.json").read_bytes()
    copy = prepared.folder / "dataset.json"
    if not copy.exists() or copy.read_bytes() != description:
        write_atomically(copy, description)
    if not (prepared.folder / "dataset_fingerprint.json").exists():
        _extract_fingerprint(dataset_id)


def _preprocess(dataset_id: int, plans: str, configuration: str) -> None:
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess

    preprocess([dataset_id], plans, [configuration], [default_num_processes], show_progress_bar=False)


def _refresh_references(prepared: PreparedDataset) -> None:
    """Makes `gt_segmentations` equal to the raw labels.

    nnU-Net copies only labels with a newer time stamp: a corrected label with an old one would never be used.
    """
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    raw = _roots().raw / prepared.dataset
    description = load_json(str(raw / "dataset.json"))
    folder = prepared.folder / "gt_segmentations"
    wanted = {}
    for case, files in get_filenames_of_train_images_and_targets(str(raw), description).items():
        wanted[case + description["file_ending"]] = Path(files["label"])
    for name, label in wanted.items():
        copy = folder / name
        if not copy.exists() or not filecmp.cmp(label, copy, shallow=False):
            shutil.copyfile(label, copy.with_name(f".{name}"))
            copy.with_name(f".{name}").replace(copy)
    for stray in {path.name for path in folder.iterdir()} - set(wanted):
        (folder / stray).unlink()


if __name__ == "__main__":
    child_main(prepare_dataset)
