"""TensorBoard's part of a fold from its first epoch to its scores: opened while it trains, and once more at its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import journal_path, readable_until_epoch
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.parameters import training_parameters
from nnunet_assets.nnunet.trainer.trainer import label_names
from nnunet_assets.nnunet.watching.tensorboard_logger import TensorBoardLogger


def open_board(trainer: NnunetTrainer, options: TrainingOptions) -> TensorBoardLogger | None:
    """Returns what writes for TensorBoard from the trainer's epoch on; None: nobody asked for it."""
    if not options.tensorboard:
        return None
    fold_folder = Path(trainer.output_folder)
    records, _ = readable_until_epoch(journal_path(fold_folder), trainer.current_epoch)
    return TensorBoardLogger(
        fold_folder,
        label_names(trainer),
        trainer.current_epoch,
        prefix=options.watch.tb_prefix,
        n_iterations=trainer.num_iterations_per_epoch,
        earlier=[record for record in records if record.kind == "epoch"],
    )


def write_results(trainer: NnunetTrainer, request: FoldAttempt, scores: Mapping[str, float | None]) -> int:
    """Writes the scores of a fold that is validated, behind its last epoch, and its hyperparameters beside them.

    Returns:
        How much of it could not be written.
    """
    try:
        board = open_board(trainer, request.options)
        if board is None:
            return 0
        board.take_settings(settings_shown(trainer, request))
        board.take_epoch(trainer.current_epoch, {name: value for name, value in scores.items() if value is not None})
        return board.close()
    except Exception:  # noqa: BLE001 (a full disk, a library: the fold is trained and validated all the same)
        return 1


def settings_shown(trainer: NnunetTrainer, request: FoldAttempt) -> dict[str, bool | float | str]:
    """Returns what the table of TensorBoard shows of a training: what is declared, and the trainer's own settings."""
    experiment = request.experiment
    params = training_parameters(
        trainer, experiment, request.fold, overrides=request.overrides, options=request.options
    )
    shown: dict[str, Any] = {
        **params["trainer"],
        "batch_size": params["data"].get("batch_size"),
        "patch_size": params["plans"].get("patch_size"),
        "network": params["architecture"].get("class"),
        "optimizer": params["optimizer"].get("class"),
        "loss": params["loss"].get("class"),
        "seed": request.options.seed,
        **{name: getattr(experiment, name) for name in ("dataset", "configuration", "trainer", "plans", "variant")},
        "fold": request.fold,
        **request.overrides,
    }
    kept = {name: value for name, value in shown.items() if value is not None and name not in _OF_THE_RUN}
    return {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in kept.items()}


_OF_THE_RUN = ("current_epoch", "was_initialized", "local_rank", "is_ddp", "disable_checkpointing")
"""Attributes of a trainer that are no settings."""
