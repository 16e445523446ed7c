"""A cross-validation whose folds were never trained, a test set of two cases, and a child that predicts it at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.nnunet.predictions.prediction_request import PredictionRequest
from nnunet_assets.nnunet.predictions.written_mask import MaskRecord
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case, write_fold
from nnunet_assets_tests.raw_builders import write_json

DATASET = "Dataset001_Tiny"
CONFIG = ExperimentConfig(dataset=DATASET, configuration="2d", folds=[0, 1], device="cpu", test_set=True)
EXPERIMENT = CONFIG.identity
PLANS = {"plans_name": "nnUNetPlans"}
MADE = replace(INPUTS, plans_hash=json_sha256(PLANS))


def write_folds(roots: Roots, experiment: Experiment = EXPERIMENT) -> None:
    """Writes two folds with their checkpoints, which score Dice 0.5 in each of 3 validation cases."""
    write_fold(roots, experiment, "fold_0", {"a": HIGHER, "b": HIGHER}, inputs=MADE)
    write_fold(roots, experiment, "fold_1", {"c": HIGHER}, inputs=MADE)
    for fold in ("fold_0", "fold_1"):
        (experiment.fold_folder(roots, fold) / "checkpoint_final.pth").write_text(f"weights of {fold}")
    write_json(experiment.model_folder(roots) / "plans.json", PLANS)


def write_test_set(roots: Roots) -> Path:
    """Writes two cases with their references, and returns the raw dataset."""
    folder = roots.raw / DATASET
    for case in ("new_1", "new_2"):
        write_case(folder / "imagesTs" / f"{case}_0000.nii.gz", REFERENCE)
        write_case(folder / "labelsTs" / f"{case}.nii.gz", REFERENCE)
    return folder


class PredictingChild:
    """Stands for the process that predicts: of each case its image; it dies after as many cases as it is told to."""

    def __init__(self) -> None:
        self.requests: list[PredictionRequest] = []
        self.dies_after: int | None = None

    def __call__(self, module: str, request: PredictionRequest, **_: Any) -> ChildResult:
        assert module == "nnunet_assets.nnunet.predictions.prediction_process"
        self.requests.append(request)
        for number, case in enumerate(request.cases):
            if number == self.dies_after:
                return ChildResult(ExitCode.BUG, "The process failed unexpectedly: RuntimeError.", "the end")
            if case.record:
                record = MaskRecord(file_sha256(case.images[0]), {"1": 3, "2": 4}, (1.0, 2.0, 5.0), "a fast GPU")
                write_json_atomically(case.record, dataclass_to_json(record))
            if request.flags.save_probabilities:
                case.file.with_name(f"{case.name}.npz").write_bytes(b"probabilities")
            case.file.write_bytes(case.images[0].read_bytes())
        write_json(request.work_folder / "device.json", {"device": "a fast GPU"})
        return ChildResult(ExitCode.DONE, None, "")

    @property
    def predicted(self) -> list[list[str]]:
        return [[case.name for case in request.cases] for request in self.requests]
