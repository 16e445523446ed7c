"""A prepared dataset as its records on disk show it, without a voxel; each test then spoils what it is about."""

import json
from pathlib import Path
from typing import Any

from nnunet_assets.core.layout import Experiment, Roots
from nnunet_assets.nnunet.prepared import PreparedDataset, RawRecord
from nnunet_assets.nnunet.splits import write_splits

DATASET = "Dataset951_Records"
EXPERIMENT = Experiment(dataset=DATASET, configuration="3d_fullres")
CASES = ("a", "b", "c", "d")
SPLITS = [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["c", "d"]}]


def plans_content(name: str = "nnUNetPlans", **changes: Any) -> dict[str, Any]:
    """Returns plans with 2d and 3d_fullres; `changes` go into 3d_fullres."""
    configuration = {"spacing": [3.0, 1.0, 1.0], "patch_size": [8, 16, 16], "batch_size": 2}
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


def write_plans(prepared: PreparedDataset, name: str = "nnUNetPlans", **changes: Any) -> dict[str, Any]:
    """Writes a plans file as nnU-Net would, and returns its content."""
    content = plans_content(name, **changes)
    prepared.plans_file(name).write_text(json.dumps(content))
    return content


def write_prepared(folder: Path) -> tuple[Roots, PreparedDataset]:
    """Writes the records of a dataset that is planned and preprocessed for 3d_fullres, and split in two folds."""
    roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
    prepared = PreparedDataset(roots, DATASET)
    prepared.write_raw(RawRecord("the raw data", CASES, voxels_checked=True))
    write_splits(prepared.folder, SPLITS)
    write_plans(prepared)
    prepared.stamp_cases("nnUNetPlans", "3d_fullres", prepared.cases_made_from("nnUNetPlans", "3d_fullres"))
    return roots, prepared
