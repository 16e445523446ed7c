"""A prepared dataset as its records on disk show it, without a voxel; each test then spoils what it is about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.case_records import FileRecord
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, show
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord

DATASET = "Dataset951_Records"
EXPERIMENT = Experiment(dataset=DATASET, configuration="3d_fullres")
CASES = ("a", "b", "c", "d")
SPLITS = [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["c", "d"]}]


def plans_content(name: str = "nnUNetPlans", **changes: Any) -> dict[str, Any]:
    """Returns plans with 2d and 3d_fullres; `changes` go into 3d_fullres."""
    configuration = {
        "spacing": [3.0, 1.0, 1.0],
        "patch_size": [8, 16, 16],
        "batch_size": 2,
        "median_image_size_in_voxels": [10.0, 20.0, 20.0],
    }
    return {
        "plans_name": name,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "configurations": {
            # nnU-Net's ResEnc plans share these folders with the default plans.
            "2d": {**configuration, "data_identifier": "nnUNetPlans_2d"},
            "3d_fullres": {**configuration, "data_identifier": "nnUNetPlans_3d_fullres", **changes},
        },
    }


def write_plans(prepared: PreparedFolder, name: str = "nnUNetPlans", **changes: Any) -> dict[str, Any]:
    """Writes a plans file as nnU-Net would, and returns its content."""
    content = plans_content(name, **changes)
    prepared.plans_file(name).write_text(json.dumps(content))
    return content


def write_prepared(folder: Path) -> tuple[Roots, PreparedFolder]:
    """Writes the records of a dataset that is planned and preprocessed for 3d_fullres, and split in two folds."""
    roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
    prepared = PreparedFolder(roots, DATASET)
    write_raw(prepared, RawRecord("the raw data", CASES, voxels_checked=True))
    write_splits(prepared.folder, SPLITS)
    write_plans(prepared)
    write_cases(prepared)
    return roots, prepared


def dataset_of(roots: Roots, experiment: Experiment = EXPERIMENT) -> PreparedDataset:
    """Returns the dataset of an experiment, with its plans, as it is now."""
    return PreparedDataset.read(PreparedFolder(roots, experiment.dataset), experiment.plans)


def inputs_of(
    records: tuple[Roots, PreparedFolder], fold: str = "fold_0", experiment: Experiment = EXPERIMENT
) -> FoldInputs:
    """Returns what a fold would be trained on, of what `write_prepared` wrote."""
    return fold_inputs(dataset_of(records[0], experiment), experiment, fold, "settings")


def write_cases(
    prepared: PreparedFolder, plans: str = "nnUNetPlans", configuration: str = "3d_fullres", *, n_bytes: int = 9
) -> CaseSet:
    """Writes a whole set of preprocessed cases without a voxel in them, with references, and shows it."""
    dataset = PreparedDataset.read(prepared, plans)
    case_set, wanted = dataset.case_set(configuration), dataset.ingredients(configuration)
    case_set.begin(wanted, "a test wants it")
    prepared.references.mkdir(exist_ok=True)
    for case, raw in wanted.raw.items():
        reference = prepared.references / f"{case}.nii.gz"
        if not reference.exists():
            reference.write_text(f"reference of {case}")
        write_case(case_set, case, raw, {reference.name: FileRecord.of(reference)}, n_bytes=n_bytes)
    case_set.finish()
    show(case_set, dataset.plans.cases_folder(configuration))
    return case_set


def write_case(
    case_set: CaseSet, case: str, raw: str, references: Mapping[str, FileRecord] | None = None, *, n_bytes: int = 9
) -> None:
    """Writes one case with nnU-Net's three files."""
    work = case_set.work_folder(case)
    for suffix in (".b2nd", "_seg.b2nd", ".pkl"):
        (work / f"{case}{suffix}").write_bytes(f"{case}{suffix}".ljust(n_bytes).encode())
    case_set.take(case, raw, work, references or {})
