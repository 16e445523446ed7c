"""A prepared phantom and real, tiny trainings of it: what a fold needs, without Dagster."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.folds.fold import FoldOutcome, run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.importing.phantom import write_phantom
from nnunet_assets.nnunet.preparation.planning import PreparedPlans, prepare
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp, stamp_plans
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets_tests.prepared_builders import dataset_of

DATASET = "Dataset950_Phantom"
FOLDS = ("fold_0", "fold_1")
TINY = {"num_epochs": 3, "num_iterations_per_epoch": 2, "num_val_iterations_per_epoch": 1}
EXPERIMENT = Experiment(dataset=DATASET, configuration="3d_fullres", variant="tiny")

SHORT_TRAINER = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerShort(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 2, 1
"""
"""A trainer of the user's own, as in a file of its own; its folders bear its name."""


def roots_in(folder: Path) -> Roots:
    """Returns nnU-Net's three folders below one."""
    return Roots(folder / "raw", folder / "preprocessed", folder / "results")


@dataclass(frozen=True)
class PhantomProject:
    """A phantom on disk, with its record and its splits."""

    roots: Roots
    n_folds: int = 2
    n_cases: int = 6
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def prepared(self) -> PreparedFolder:
        return PreparedFolder(self.roots, DATASET)

    def build(self) -> "PhantomProject":
        """Writes the phantom, what is known of it, and its splits."""
        raw = write_phantom(self.roots.raw, DATASET, n_cases=self.n_cases)
        cases = sorted(path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").iterdir())
        write_raw(self.prepared, RawRecord("the raw data", tuple(cases), voxels_checked=True))
        ensure_splits(self.roots, DATASET, SplitSettings(self.n_folds))
        return self

    def prepare(self, plans: str = "nnUNetPlans", **changes: Any) -> PreparedPlans:
        """Plans and preprocesses with real nnU-Net."""
        wanted = {"configurations": ["3d_fullres"], "trainers": ["nnUNetTrainer"], "environment": self.environment}
        return prepare(self.roots, DATASET, plans, **{**wanted, **changes})

    def narrow(self) -> None:
        """Leaves the planned networks few features, as if nnU-Net's planner had: they take a fraction of the time."""
        file = self.prepared.plans_file("nnUNetPlans")
        content = load_json(file)
        for plan in content["configurations"].values():
            network = plan["architecture"]["arch_kwargs"]
            network["features_per_stage"] = [4] * network["n_stages"]
        write_json_atomically(file, content)
        stamp = plans_stamp(self.prepared, "nnUNetPlans")
        stamp_plans(self.prepared, "nnUNetPlans", stamp, self.prepared.plans("nnUNetPlans").planned_digest)

    def prepare_cascade(self) -> tuple[Experiment, Experiment]:
        """Plans and preprocesses a cascade, whose first stage has voxels of twice the size; returns both stages.

        The phantom is planned with `3d_fullres` already: nnU-Net plans no cascade of images as small as these.
        """
        plans = json.loads(self.prepared.plans_file("nnUNetPlans").read_text())
        plans["plans_name"] = "CascadePlans"
        full = plans["configurations"]["3d_fullres"]
        plans["configurations"]["3d_lowres"] = {
            **full,
            "data_identifier": "CascadePlans_3d_lowres",
            "spacing": [2 * mm for mm in full["spacing"]],
            "next_stage": "3d_cascade_fullres",
        }
        plans["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
        self.prepared.plans_file("CascadePlans").write_text(json.dumps(plans))
        self.prepare("CascadePlans", configurations=["3d_lowres", "3d_cascade_fullres"])
        lowres = Experiment(DATASET, "3d_lowres", plans="CascadePlans", variant="tiny")
        return lowres, replace(lowres, configuration="3d_cascade_fullres")

    def copy_to(self, folder: Path, **changes: Any) -> "PhantomProject":
        """Returns the project in another folder, times and all; `changes` are to the value."""
        for root in filter(Path.exists, (self.roots.raw, self.roots.preprocessed, self.roots.results)):
            shutil.copytree(root, folder / root.name)
        return replace(self, roots=roots_in(folder), **changes)

    def folder(self, fold: str, experiment: Experiment = EXPERIMENT) -> Path:
        return experiment.fold_folder(self.roots, fold)

    def train(
        self,
        fold: str,
        experiment: Experiment = EXPERIMENT,
        *,
        retrain: bool = False,
        device: str = "cpu",
        overrides: Mapping[str, Any] = TINY,
        options: TrainingOptions = TrainingOptions(),  # noqa: B008 - frozen
        progress: Progress = SILENT,
    ) -> FoldOutcome:
        """Brings a fold to its COMMIT with real nnU-Net on the CPU."""
        inputs = fold_inputs(dataset_of(self.roots, experiment), experiment, fold, "tiny settings")
        request = FoldRequest(experiment, fold, overrides, device, inputs, dagster_run_id=None, options=options)
        return run_fold(request, self.roots, environment=self.environment, retrain=retrain, progress=progress)


def preprocessed_content(folder: Path) -> dict[str, str]:
    """Returns a digest of what each preprocessed file holds.

    Not of its bytes: blosc2 compresses in several threads, and writes the blocks of a chunk as they are ready.
    """
    import blosc2

    def content(path: Path) -> str:
        if path.suffix != ".b2nd":
            return file_sha256(path)
        array = blosc2.open(str(path), mode="r")[:]
        return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"

    return {path.name: content(path) for path in folder.iterdir()}


def fold_processes() -> list[psutil.Process]:
    """Returns the trainers that this process started and that still run, without their workers."""
    children = psutil.Process().children()
    return [child for child in children if "nnunet_assets.nnunet.training.fold_process" in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
