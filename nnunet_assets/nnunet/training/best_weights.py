"""A training that ends with the weights of its best epoch, where a variant asks for it.

nnU-Net's final checkpoint has the weights of the last epoch, and its `checkpoint_best.pth` those of the epoch in which
the moving average of the pseudo Dice was best. Here the final one gets these, so that whatever takes the final
checkpoint, nnU-Net's own commands too, takes the best. Optimizer and curves stay those of the last epoch.

On disk: `fold_k/.nnunet_assets/restored_epoch.json`, written before the final checkpoint.
"""

from pathlib import Path

from nnunet_assets.core.files.json_file import readable_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.progress import Progress
from nnunet_assets.nnunet.checkpoints.checkpoints import BEST, is_own_checkpoint
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer

RESTORED_FILE = f"{OWN_FOLDER}/restored_epoch.json"
"""In a fold's folder."""


def end_with_best_weights(trainer: NnunetTrainer, progress: Progress) -> None:
    """Makes the trainer load the weights of its best checkpoint before it writes the final one.

    Args:
        trainer: Each process of those that train a fold together has its own.
        progress: Hears of which epoch they are.
    """
    end = trainer.on_train_end

    def on_train_end() -> None:
        epoch = load_best_weights(trainer)
        if epoch is None:
            progress.say(
                f"There is no {BEST} of this training; the final checkpoint has the weights of its last epoch."
            )
        else:
            write_json_atomically(Path(trainer.output_folder) / RESTORED_FILE, {"epoch": epoch})
            progress.say(
                f"The final checkpoint gets the weights of epoch {epoch}, the best by the moving average of the pseudo "
                "Dice."
            )
        end()

    trainer.on_train_end = on_train_end


def load_best_weights(trainer: NnunetTrainer) -> int | None:
    """Loads the weights of the best checkpoint, and nothing else of it; returns their epoch, None: there is none."""
    file = Path(trainer.output_folder) / BEST
    if not is_own_checkpoint(Path(trainer.output_folder), file):
        return None
    content = load_without_code(file)
    module = trainer.network.module if trainer.is_ddp else trainer.network
    getattr(module, "_orig_mod", module).load_state_dict(content["network_weights"])
    return int(content["current_epoch"]) - 1


def restored_epoch(fold_folder: Path) -> int | None:
    """Returns of which epoch the weights of the final checkpoint are; None: of the last."""
    epoch = readable_json(fold_folder / RESTORED_FILE).get("epoch")
    return epoch if isinstance(epoch, int) else None
