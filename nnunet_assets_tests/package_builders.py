"""A model that was never trained: nnU-Net's files with small weights in them, and a package made of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import ModelNumber
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.canaries import FOLDER, HOST, USER
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.raw_builders import write_json

DATASET = "Dataset001_Tiny"
EXPERIMENT = Experiment(DATASET, "2d")
FOLDS = ("fold_0", "fold_1")
CASE = "canary-case"
PLACE = f"/home/{USER}/{FOLDER}/{CASE}.nii.gz"

LABELS = {"background": 0, "organ": 1, "tumour": 2}
DATASET_JSON: Mapping[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": LABELS,
    "numTraining": 2,
    "file_ending": ".nii.gz",
    "name": f"scans of {USER}",
    "description": f"made on {HOST}",
    "dataset": {CASE: {"images": [PLACE], "label": PLACE}},
}
PLANS: Mapping[str, Any] = {
    "dataset_name": DATASET,
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "label_manager": "LabelManager",
    "experiment_planner_used": "ExperimentPlanner",
    "foreground_intensity_properties_per_channel": {
        "0": {"percentile_00_5": -900.0, "percentile_99_5": 400.5, "mean": 20.0, "std": 100.0}
    },
    "configurations": {
        "2d": {
            "data_identifier": "nnUNetPlans_2d",
            "normalization_schemes": ["CTNormalization"],
            "numbers_of_ones_own": [1, 2.5],
            "remark": f"planned by {USER}",
        },
        "2d_large": {"inherits_from": "2d", "batch_size": 4},
        "3d_lowres": {"next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"previous_stage": "3d_lowres", "spacing": [2.0, 1.0, 1.0]},
    },
    "made_on": HOST,
}
FINGERPRINT = {"spacings": [[2.0, 1.0, 1.0], [4.0, 0.5, 0.75]], "shapes_after_crop": [[1, 2, 3], [4, 5, 6]]}

ABOUT = AboutModel(
    numbers={"dice": ModelNumber(0.87, Interval(0.85, 0.89), 50, "Mean Dice of the cross-validation.")},
    inputs={f"{DATASET}/{EXPERIMENT.name}": {"raw_hash": "0" * 64}},
    n_cases=2,
    licence="CC-BY-4.0",
)


def weights_of(value: float) -> Any:
    """Returns weights as nnU-Net's networks have them: those of the encoder by two names."""
    import torch

    kernel = torch.full((4, 1, 3, 3), value)
    return {"encoder.weight": kernel, "encoder.bias": torch.arange(4.0) * value, "decoder.encoder.weight": kernel}


def write_checkpoint(file: Path, experiment: Experiment, value: float, **changes: Any) -> None:
    """Writes a checkpoint as nnU-Net's trainer does, with case ids and paths in it; `changes` are to its entries."""
    import numpy as np
    import torch

    content = {
        "network_weights": weights_of(value),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(1000)}}},
        "logging": {"mean_fg_dice": [np.float64(0.5)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
        "init_args": {
            "plans": PLANS,
            "configuration": experiment.configuration,
            "fold": 0,
            "dataset_json": DATASET_JSON,
        },
        "trainer_name": experiment.trainer,
        "inference_allowed_mirroring_axes": (0, 1),
        **changes,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({key: value for key, value in content.items() if value is not ...}, file)


def write_model(
    root: Path, experiment: Experiment = EXPERIMENT, folds: Sequence[str] = FOLDS, **options: Any
) -> Member:
    """Writes nnU-Net's folder of a model below a results folder.

    Args:
        options: `plans`, `dataset_json`, `previous`, `checkpoint`; in place of the usual ones.
    """
    folder = root / "/".join(experiment.key_prefix)
    checkpoint = options.get("checkpoint", "checkpoint_final.pth")
    write_json(folder / "plans.json", options.get("plans", PLANS))
    write_json(folder / "dataset.json", options.get("dataset_json", DATASET_JSON))
    write_json(folder / "dataset_fingerprint.json", FINGERPRINT)
    write_json(folder / "debug.json", {"hostname": HOST, "output_folder": PLACE})
    for index, fold in enumerate(folds):
        write_checkpoint(folder / fold / checkpoint, experiment, index + 1)
        write_json(folder / fold / "validation" / "summary.json", {"metric_per_case": [{"reference_file": PLACE}]})
    return Member(experiment, folder, tuple(folds), checkpoint, options.get("previous"))


def write_finished(roots: Roots, experiment: Experiment = EXPERIMENT, folds: Sequence[str] = FOLDS) -> None:
    """Writes finished folds of a project, each with a case of its own and a checkpoint that its COMMIT vouches for."""
    folder = experiment.model_folder(roots)
    inputs = replace(INPUTS, plans_hash=plans_digests(PLANS, experiment.configuration, "")[0])
    for index, fold in enumerate(folds):
        write_fold(roots, experiment, fold, {f"{CASE}_{index}": HIGHER}, inputs=inputs)
        write_checkpoint(folder / fold / FINAL_CHECKPOINT, experiment, index + 1)
        manifest = read_committed(folder / fold)
        assert manifest
        files = {**manifest.files, FINAL_CHECKPOINT: file_sha256(folder / fold / FINAL_CHECKPOINT)}
        commit_fold(folder / fold, replace(manifest, files=files))
    write_json(folder / "plans.json", PLANS)
    write_json(folder / "dataset_fingerprint.json", FINGERPRINT)
    dataset_json = json.loads((folder / "dataset.json").read_text())
    write_json(folder / "dataset.json", {**DATASET_JSON, **dataset_json})


def model_of(*members: Member, steps: Sequence[Step] = ()) -> UsableModel:
    """Returns members as a model."""
    return UsableModel(f"{members[0].experiment.title} and so on", members, tuple(steps), "0" * 64)


def cascade(root: Path, folds: Sequence[str] = FOLDS) -> Member:
    """Writes both stages of a cascade, and returns the second."""
    lowres = write_model(root, replace(EXPERIMENT, configuration="3d_lowres"), folds)
    return write_model(root, replace(EXPERIMENT, configuration="3d_cascade_fullres"), folds, previous=lowres)
