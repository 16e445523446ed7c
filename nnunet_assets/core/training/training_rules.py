"""What may not be asked of one training together; where the rule is nnU-Net's own, the sentence says so."""

from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import ConfigError


def contradictions(
    options: TrainingOptions, *, device: str, retrain: bool = False, continue_training: bool = False
) -> list[str]:
    """Returns a sentence for each contradiction.

    Settings that only a training reads (seed, patience, weights to start from) do not contradict `validation_only`:
    they name the training whose result is validated.

    Args:
        options: What is asked.
        device: `auto`, `cuda`, `cpu` or `mps`. What `auto` is shows itself on the machine that trains.
        retrain: Whether a finished fold is to be trained anew.
        continue_training: Whether nnU-Net's flag `--c` was given.
    """
    several = f"num_gpus is {options.num_gpus}"
    rules = {
        "--c and --val cannot be set together, as in nnU-Net: one goes on with a training, the other trains nothing. "
        "Leave one of them out.": continue_training and options.validation_only,
        "--c cannot be set together with pretrained weights, as in nnU-Net: weights are loaded at the beginning of a "
        "training only. Leave out --c: a fold that was interrupted goes on by itself.": continue_training
        and options.pretrained_weights is not None,
        "--c and --retrain cannot be set together: one goes on with a training, the other begins anew. Leave one of "
        "them out.": continue_training and retrain,
        "val_best and disable_checkpointing cannot be set together, as in nnU-Net: without checkpoints there is no "
        "checkpoint_best.pth to validate. Leave one of them out.": options.val_best and options.disable_checkpointing,
        "restore_best and disable_checkpointing cannot be set together: without checkpoints there is no "
        "checkpoint_best.pth to restore. Leave one of them out.": options.restore_best
        and options.disable_checkpointing,
        "checkpoint_every and disable_checkpointing cannot be set together: one keeps checkpoints, the other writes "
        "none. Leave one of them out.": options.checkpoint_every is not None and options.disable_checkpointing,
        f"{several}, and the device is {device!r}: nnU-Net trains on several GPUs with CUDA only. Set the device to "
        "cuda, or num_gpus to 1.": options.num_gpus > 1 and device not in ("auto", "cuda"),
        f"{several}, and deterministic is set, which needs one process. Leave one of them out.": options.num_gpus > 1
        and options.deterministic,
        "watch asks for histograms or for a tb_prefix, which TensorBoard alone shows, and tensorboard is not set. Set "
        "tensorboard too, or leave them out.": not options.tensorboard
        and (options.watch.histograms_every is not None or options.watch.tb_prefix is not None),
        "validation_only and retrain cannot be set together: one trains nothing, the other trains anew. Leave one of "
        "them out.": options.validation_only and retrain,
    }
    return [sentence for sentence, is_broken in rules.items() if is_broken]


def check_options(
    options: TrainingOptions, *, device: str, retrain: bool = False, continue_training: bool = False
) -> None:
    """Passes where nothing contradicts; the arguments are those of `contradictions`.

    Raises:
        ConfigError: Something does; the message holds all of it.
    """
    found = contradictions(options, device=device, retrain=retrain, continue_training=continue_training)
    if found:
        raise ConfigError("\n".join(found))
