"""A training that begins where a finished one ended: its weights, its optimizer's state, its curves and its epochs.

What is declared holds: where optimizer or learning rate are declared otherwise, they are these. Learning rates follow
from the epoch among all, those of the first training included, and so do the curves. The best epoch and patience are of
the continuation alone: `checkpoint_best.pth` would otherwise be a file that only the first training has.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.fold.continued_fold import ContinuedFold
from nnunet_assets.core.fold.journal import Record, journal_path, readable_until_epoch
from nnunet_assets.core.progress import Progress
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

OF_SCHEDULES = frozenset({"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"})
"""What torch's schedulers write into the groups of an optimizer."""


def go_on_from(trainer: NnunetTrainer, continued: ContinuedFold, progress: Progress) -> None:
    """Brings the trainer to where a finished fold ended.

    Raises:
        ChildFailure: Its checkpoint is not the one that was meant, or of another network; or no epoch is left to train.
    """
    if trainer.num_epochs <= continued.n_epochs:
        raise _refused(
            f"{continued.experiment} is trained for {continued.n_epochs} epochs, and num_epochs is "
            f"{trainer.num_epochs}, those included: none is left to train. Declare more."
        )
    checkpoint = _read(continued)
    if not trainer.was_initialized:
        trainer.initialize()
    own = trainer.optimizer.state_dict()
    begins_anew = not _is_of_same_optimizer(own, checkpoint["optimizer_state"])
    state = own["state"] if begins_anew else checkpoint["optimizer_state"]["state"]
    # The groups hold what is declared: weight decay, momentum.
    checkpoint["optimizer_state"] = {"state": state, "param_groups": own["param_groups"]}
    checkpoint["init_args"] = trainer.my_init_kwargs
    _load(trainer, checkpoint, continued)
    trainer._best_ema = None
    anew = " Its optimizer is another one and begins anew." if begins_anew else ""
    progress.say(f"Going on with {continued.experiment} after its {continued.n_epochs} epochs.{anew}")


def continued_records(continued: ContinuedFold) -> list[Record]:
    """Returns the epochs of the fold that is continued, as its journal has them; none where it has no journal."""
    records, _ = readable_until_epoch(journal_path(continued.folder), continued.n_epochs)
    return [record for record in records if record.kind == "epoch"]


def _read(continued: ContinuedFold) -> dict[str, Any]:
    try:
        if file_sha256(continued.checkpoint) != continued.checkpoint_sha256:
            raise ChildFailure(
                ExitCode.CHANGED_INPUT,
                f"{continued.checkpoint} changed after the fold was asked for that continues it. Ask for it again.",
            )
        checkpoint = load_without_code(continued.checkpoint)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise _refused(f"{continued.checkpoint}, which is to be continued, cannot be read: {error}.") from error
    wanted = ("network_weights", "optimizer_state", "current_epoch")
    if not isinstance(checkpoint, dict) or any(name not in checkpoint for name in wanted):
        raise _refused(
            f"{continued.checkpoint} cannot be continued: it has no {', '.join(wanted)}, as nnU-Net's own have. (A "
            "checkpoint of a package has what predicts alone.)"
        )
    return checkpoint


def _load(trainer: NnunetTrainer, checkpoint: Mapping[str, Any], continued: ContinuedFold) -> None:
    """Loads what was read: by a file, which nnU-Net's own function needs, without anything that could run code."""
    import torch

    clean = Path(trainer.output_folder) / f".continued_{trainer.local_rank}.pth.part"
    try:
        torch.save(checkpoint, clean)
        trainer.load_checkpoint(str(clean))
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise _refused(
            f"The network of {continued.experiment} is not the one that is to go on: {str(error).splitlines()[0]} "
            "Train anew, without `continues`."
        ) from error
    finally:
        clean.unlink(missing_ok=True)


def _is_of_same_optimizer(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Says whether two states are of one kind of optimizer, by what its groups hold."""
    groups = [one["param_groups"] for one in (own, other)]
    keys = [[set(group) - OF_SCHEDULES for group in found] for found in groups]
    sizes = [[(len(group["params"]), group.get("amsgrad")) for group in found] for found in groups]
    return keys[0] == keys[1] and sizes[0] == sizes[1]


def _refused(sentence: str) -> ChildFailure:
    return ChildFailure(ExitCode.BAD_INPUT, sentence)
