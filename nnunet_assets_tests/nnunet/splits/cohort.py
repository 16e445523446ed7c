"""A dataset on disk, as far as splitting it goes, and folds that were trained on its split."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.splits.case_groups import GroupPattern
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets_tests.builders import INPUTS, build_manifest

DATASET = "Dataset952_Cohort"
CASES = ["a", "b", "c", "d", "e", "f"]
GOOD = [
    {"train": ["c", "d", "e", "f"], "val": ["a", "b"]},
    {"train": ["a", "b", "e", "f"], "val": ["c", "d"]},
    {"train": ["a", "b", "c", "d"], "val": ["e", "f"]},
]
PATIENTS = [f"p{patient}_scan{scan}" for patient in range(6) for scan in range(1 + patient % 3)]
BY_PATIENT = GroupPattern(r"(?P<group>p\d+)_scan\d+")
THREE = SplitSettings(3)
SHORT = Experiment(dataset=DATASET, configuration="2d", variant="short")
LONG = Experiment(dataset=DATASET, configuration="3d_fullres")


class Cohort:
    """A dataset on disk, as far as splitting it goes."""

    def __init__(self, folder: Path, cases: list[str]) -> None:
        self.roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
        self.prepared = PreparedFolder(self.roots, DATASET)
        self.file = self.prepared.folder / "splits_final.json"
        self.has(cases)

    def has(self, cases: list[str], volumes: Any = None, hashes: Any = None) -> None:
        """Records that the raw dataset has these cases now."""
        record = RawRecord("the raw data", tuple(sorted(cases)), voxels_checked=True)
        write_raw(self.prepared, replace(record, label_volumes_ml=volumes or {}, case_hashes=hashes or {}))

    def split(self, settings: Any = THREE, **how: Any) -> Any:
        return ensure_splits(self.roots, DATASET, settings, **how)

    def validation(self) -> Any:
        """Returns the fold that validates each case, by the file."""
        folds = json.loads(self.file.read_text())
        return {case: index for index, fold in enumerate(folds) for case in fold["val"]}

    def generations(self) -> Any:
        return json.loads((self.prepared.own / "splits.json").read_text())["generations"]

    def train(self, experiment: Experiment, fold: Any, hours: Any = None) -> None:
        """Leaves a fold that was trained on the split that is there: finished in so many hours; None: not finished."""
        folder = experiment.fold_folder(self.roots, fold)
        inputs = replace(INPUTS, splits_hash=json_sha256(json.loads(self.file.read_text())))
        write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": vars(inputs)})
        if hours is not None:
            seconds = {"training": hours * 3000, "validation": hours * 600}
            commit_fold(folder, replace(build_manifest(folder, inputs), seconds=seconds))


COST = (
    "3 trained folds belong to it (21.5 hours for 2 of them): nnUNetTrainer__nnUNetPlans__3d_fullres: fold_1; "
    "short / nnUNetTrainer__nnUNetPlans__2d: fold_0, fold_2."
)
