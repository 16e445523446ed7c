"""A project of `nnunet-assets init` whose experiments are on a phantom, small enough to be trained in a test."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnunet_assets.cli.project.init import init_project

DATASET = "Dataset900_Phantom"
PREPARATION = [(DATASET, name) for name in ("raw_dataset", "case_list", "splits", "preprocessed_plans")]
"""The assets that come before every fold."""


def phantom_project(folder: Path, experiments: Iterable[dict[str, Any]]) -> Path:
    """Makes the project in a new folder; every experiment is one of 3d_fullres in two folds, on the CPU."""
    init_project(folder)
    dataset = {"dataset": DATASET, "folds": 2, "phantom": {"cases": 6, "seed": 1}}
    known = {"dataset": DATASET, "configuration": "3d_fullres", "device": "cpu"}
    components = [("NnunetDataset", dataset), *(("CrossValidationExperiment", known | one) for one in experiments)]
    # JSON is YAML.
    documents = [{"type": f"nnunet_assets.components.{kind}", "attributes": given} for kind, given in components]
    (folder / "experiments" / "example" / "defs.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    return folder


def variant(name: str, **epochs: int) -> dict[str, Any]:
    """Returns a variant with one validation step an epoch."""
    return {"variant": {"name": name, "num_val_iterations_per_epoch": 1, **epochs}}
