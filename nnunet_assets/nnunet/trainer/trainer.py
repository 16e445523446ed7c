"""nnU-Net's trainer of a fold: built by nnU-Net's own function, with the overrides of its variant."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.layout import FULL_FOLD, fold_index
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.nnunet.checkpoints.random_state import seed_workers
from nnunet_assets.nnunet.nnunet_trainer import Label, LabelManager, NnunetTrainer
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.trainer.bindings import apply_overrides, choose_best_among_defined, stop_when_diverged
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

if TYPE_CHECKING:
    import torch


def build_trainer(request: FoldAttempt, device: "torch.device", *, is_resumed: bool) -> NnunetTrainer:
    """Returns the trainer that a request asks for, not yet initialized.

    Raises:
        ForeignCodeError: The plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        ChildFailure: There is no such trainer, it writes elsewhere, or it lacks a hyperparameter that is overridden.
    """
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.run.run_training import get_trainer_from_args

    experiment, options = request.experiment, request.options
    folder = Path(nnUNet_preprocessed) / experiment.dataset
    refuse_foreign_code_in_child(folder / f"{experiment.plans}.json", folder / DATASET_JSON)
    trainer_class(experiment.trainer)
    trainer: NnunetTrainer = get_trainer_from_args(
        experiment.dataset,
        experiment.configuration,
        fold_index(request.fold),
        experiment.trainer,
        experiment.plans,
        # Tells nnU-Net's own optional logger (Weights & Biases) whether to continue its run.
        continue_training=is_resumed,
        device=device,
    )
    if not Path(trainer.output_folder).samefile(request.fold_folder):
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"Trainer {experiment.trainer} writes to {trainer.output_folder}, not to {request.fold_folder}; a "
            "trainer that renames its folder cannot be tracked.",
        )
    apply_overrides(trainer, request.overrides)
    trainer.disable_checkpointing = options.disable_checkpointing
    if options.seed is not None:
        seed_workers(trainer, options.seed + trainer.local_rank)
    choose_best_among_defined(trainer)
    stop_when_diverged(trainer)
    if request.fold == FULL_FOLD:
        # It would write its predictions of all cases over those by which the folds feed the cascade.
        trainer.configuration_manager.configuration.pop("next_stage", None)
    return trainer


def trainer_class(name: str) -> Any:
    """Returns nnU-Net's trainer class of this name.

    Raises:
        ChildFailure: There is none.
    """
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        return recursive_find_trainer_class_by_name(name)
    except RuntimeError as error:
        if "Could not find requested nnunet trainer" not in str(error):
            raise
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"nnU-Net has no trainer {name!r}. Trainers are classes below nnunetv2.training.nnUNetTrainer, or in a "
            "folder that the environment variable nnUNet_extTrainer names.",
        ) from error


def validation_cases(trainer: NnunetTrainer) -> list[str]:
    """Returns the case ids that the fold is validated on."""
    return [str(case) for case in trainer.do_split()[1]]


def label_names(trainer: NnunetTrainer) -> list[str]:
    """Returns the names of what nnU-Net evaluates, in its order."""
    return evaluated_labels(trainer.label_manager, trainer.dataset_json["labels"])


def evaluated_labels(manager: LabelManager, labels: Mapping[str, Any]) -> list[str]:
    """Returns the names of what nnU-Net's label manager has it evaluate, in nnU-Net's order."""
    values = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    names = {_as_tuple(value): name for name, value in labels.items()}
    return [names[_as_tuple(value)] for value in values]


def _as_tuple(value: Label) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)
