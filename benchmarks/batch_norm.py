"""What calibrating BatchNorm changes, on weights that are the same: a training with small batches, validated twice.

    python benchmarks/batch_norm.py PREPROCESSED DATASET [--configuration 2d] [--batch 4] [--folds 0 1 2]

Running statistics do nothing in training, so that one training serves both sides: after each epoch its validation
patches, drawn once a fold, are predicted with the statistics as they ran and with those made anew of `warmup_batches`
training batches. Prints loss and pseudo Dice of both by fold and epoch, and the mean of the paired differences with
its 95 % interval over the epochs of all folds. Nothing is written but in a temporary folder.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

WARMUP = 20
"""The default of the trainers with BatchNorm."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preprocessed", type=Path, help="nnU-Net's folder.")
    parser.add_argument("dataset")
    parser.add_argument("--configuration", default="2d")
    parser.add_argument("--trainer", default="nnUNetTrainerSliceWiseBN")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--validations", type=int, default=20)
    asked = parser.parse_args()
    os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f", "nnUNet_raw": "/nowhere"}
    os.environ |= {"nnUNet_preprocessed": str(asked.preprocessed)}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"nnUNet_results": folder}
        rows = [row for fold in asked.folds for row in trained(asked, fold)]
    for name in ("loss", "dice"):
        print(f"{name}, calibrated minus running: {_interval([row[name][1] - row[name][0] for row in rows])}")


def trained(asked: argparse.Namespace, fold: int) -> list[dict[str, Any]]:
    """Trains a fold, and returns loss and pseudo Dice after each epoch: with running and with calibrated statistics."""
    import torch

    torch.manual_seed(fold)
    trainer = _trainer(asked, fold)
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.warmup_batches = asked.epochs, asked.iterations, 0
    trainer.on_train_start()
    patches = [next(trainer.dataloader_val) for _ in range(asked.validations)]
    rows = []
    for epoch in range(asked.epochs):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        for _ in range(asked.iterations):
            trainer.train_step(next(trainer.dataloader_train))
        running = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        with torch.no_grad():
            before = _validated(trainer, patches)
            trainer.warmup_batches = WARMUP
            trainer.calibrate()
            trainer.warmup_batches = 0
            after = _validated(trainer, patches)
        trainer.network.load_state_dict(running)
        trainer.current_epoch += 1
        rows.append({"loss": (before[0], after[0]), "dice": (before[1], after[1])})
        print(
            f"fold {fold}, epoch {epoch}: loss {before[0]:.3f} running, {after[0]:.3f} calibrated; pseudo Dice "
            f"{before[1]:.3f}, {after[1]:.3f}",
            flush=True,
        )
    return rows


def _trainer(asked: argparse.Namespace, fold: int) -> Any:
    import torch
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunet_assets.processes.variables import with_trainers

    os.environ |= with_trainers(os.environ)
    folder = asked.preprocessed / asked.dataset
    plans, dataset_json = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    plans["configurations"][asked.configuration]["batch_size"] = asked.batch
    plans["continue_training"] = False
    found = recursive_find_trainer_class_by_name(asked.trainer)
    trainer = found(plans, asked.configuration, fold, dataset_json, torch.device("cpu"))
    trainer.disable_checkpointing = True
    return trainer


def _validated(trainer: Any, patches: list[Any]) -> tuple[float, float]:
    """Returns nnU-Net's loss and pseudo Dice, the mean over the labels, of patches."""
    import numpy as np

    trainer.network.eval()
    found = [trainer.validation_step(patch) for patch in patches]
    hard = {name: np.sum([one[name] for one in found], axis=0) for name in ("tp_hard", "fp_hard", "fn_hard")}
    dice = 2 * hard["tp_hard"] / np.maximum(2 * hard["tp_hard"] + hard["fp_hard"] + hard["fn_hard"], 1)
    trainer.network.train()
    return float(np.mean([one["loss"] for one in found])), float(dice.mean())


def _interval(differences: list[float]) -> str:
    import numpy as np

    values = np.array(differences)
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}] ({len(values)} epochs)"


if __name__ == "__main__":
    main()
