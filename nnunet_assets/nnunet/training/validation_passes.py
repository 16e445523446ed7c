"""The passes through the network that nnU-Net's validation of a fold will take, counted by nnU-Net's own function."""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.fold.validation_work import PASSES_OF_A_STEP, ValidationWork
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.devices import device_name
from nnunet_assets.nnunet.trainer.trainer import validation_cases

TILE_STEP_SIZE = 0.5
"""nnU-Net's, in `perform_actual_validation`."""


def write_validation_work(trainer: NnunetTrainer) -> None:
    """Writes down for whoever follows the fold how much work its validation will be.

    Args:
        trainer: Initialized, and its axes to mirror known: its journal is open, or a checkpoint loaded.
    """
    try:
        work = validation_work(trainer)
    except Exception:  # noqa: BLE001 (an estimate ends no training, whatever a trainer of the user's own lacks)
        return
    work.write(Path(trainer.output_folder))


def validation_work(trainer: NnunetTrainer) -> ValidationWork:
    """Returns how much work the validation of the trainer's fold is."""
    import torch

    cases = validation_cases(trainer)
    dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, cases)
    mirrored = 2 ** len(trainer.inference_allowed_mirroring_axes or ())
    patch = list(trainer.configuration_manager.patch_size)
    # Of a case nothing is read but the head of its file.
    passes = {case: mirrored * n_windows(dataset.load_case(case)[0].shape[1:], patch) for case in cases}
    n_patches = PASSES_OF_A_STEP * trainer.num_iterations_per_epoch + trainer.num_val_iterations_per_epoch
    # Processes that train a fold together share the batch, and the cases.
    n_together = torch.distributed.get_world_size() if trainer.is_ddp else 1
    return ValidationWork(passes, float(n_patches * trainer.batch_size * n_together), device_name(trainer.device))


def n_windows(shape: Sequence[int], patch_size: Sequence[int]) -> int:
    """Returns over how many windows nnU-Net predicts an image; a patch in 2D is moved over each slice.

    Args:
        shape: Of the preprocessed image in voxels, in nnU-Net's order of axes.
        patch_size: As `shape`, or without its first axis.
    """
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    n_slices = 1 if len(patch_size) == len(shape) else shape[0]
    # What is smaller is padded to the patch.
    plane = tuple(max(n, tile) for n, tile in zip(shape[-len(patch_size) :], patch_size, strict=True))
    n = n_slices
    for steps in compute_steps_for_sliding_window(plane, tuple(patch_size), TILE_STEP_SIZE):
        n *= len(steps)
    return n
