"""A fold as plain nnU-Net 2.x leaves it when it is trained and validated, without a training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.settings import Settings
from nnunet_assets_tests.builders import summary_entry, write_validation_summary

DATASET = "Dataset004_Hippocampus"
MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"
LABELS = {"background": 0, "Anterior": 1, "Posterior": 2}
DESCRIPTION = {"labels": LABELS, "file_ending": ".nii.gz", "channel_names": {"0": "MRI"}}
PLANS = {
    "dataset_name": DATASET,
    "plans_name": "nnUNetPlans",
    "configurations": {"3d_fullres": {"patch_size": [8, 16, 16], "batch_size": 2, "architecture": {"n_stages": 3}}},
}
BEGIN = 1_600_000_000.0
"""September 2020; each epoch takes 10 seconds."""


def write_foreign_fold(
    results: Path,
    number: int,
    cases: Mapping[str, tuple[float, float]],
    *,
    n_epochs: int = 3,
    debug: Mapping[str, str] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the fold; `checkpoint` goes over what the checkpoint holds."""
    import numpy as np
    import torch

    folder = results / DATASET / MODEL / f"fold_{number}"
    write_validation_summary(folder, [summary_entry(case, {"1": a, "2": b}) for case, (a, b) in cases.items()])
    (folder.parent / "dataset.json").write_text(json.dumps(DESCRIPTION))
    (folder.parent / "plans.json").write_text(json.dumps(PLANS))
    settings = {"num_epochs": str(n_epochs), "initial_lr": "0.01", "gpu_name": "Tesla V100", "torch_version": "1.13"}
    (folder / "debug.json").write_text(json.dumps({**settings, "hostname": "node17", **(debug or {})}))
    log = f"2020-09-13 12:26:40: This split has 16 training and {len(cases)} validation cases.\n"
    (folder / "training_log_2020_9_13_12_26_40.txt").write_text(log)
    epochs = range(n_epochs)
    content = {
        "network_weights": {"weight": torch.zeros(3)},
        "trainer_name": "nnUNetTrainer",
        "current_epoch": n_epochs,
        "init_args": {
            "plans": PLANS,
            "configuration": "3d_fullres",
            "fold": number,
            "dataset_json": DESCRIPTION,
            "device": torch.device("cpu"),
        },
        "logging": {
            "mean_fg_dice": [np.float64(0.1 * epoch) for epoch in epochs],
            "ema_fg_dice": [np.float64(0.05 * epoch) for epoch in epochs],
            "dice_per_class_or_region": [[np.float64(0.2 * epoch), np.float64("nan")] for epoch in epochs],
            "train_losses": [np.float32(-0.5 * epoch) for epoch in epochs],
            "val_losses": [np.float32(-0.25 * epoch) for epoch in epochs],
            "lrs": [0.01 / (epoch + 1) for epoch in epochs],
            "epoch_start_timestamps": [BEGIN + 10 * epoch for epoch in epochs],
            "epoch_end_timestamps": [BEGIN + 10 * epoch + 10 for epoch in epochs],
        },
        **(checkpoint or {}),
    }
    torch.save(content, folder / "checkpoint_final.pth")
    return folder


def write_foreign_project(settings: Settings) -> None:
    """Writes two folds, of two cases and of one, and declarations of their experiment."""
    write_foreign_fold(settings.roots.results, 0, {"a": (0.9, 0.5), "b": (0.7, 0.25)})
    write_foreign_fold(settings.roots.results, 1, {"c": (0.5, 1 / 3)})
    folder = settings.project / "experiments" / "one"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(
        f"type: nnunet_assets.components.NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n---\n"
        "type: nnunet_assets.components.CrossValidationExperiment\n"
        f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres}}\n"
    )
