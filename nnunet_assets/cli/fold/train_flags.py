"""The command line of `train` as a value."""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.declarations.named_fold import NamedFold
from nnunet_assets.declarations.sections.variant_config import RESULT_OPTIONS
from nnunet_assets.workflows.fold.train import AskedNow


@dataclass(frozen=True)
class Flags:
    """The command line of `train`; None and False: not given."""

    dataset: str | None
    configuration: str | None
    fold: str | None
    trainer: str | None
    plans: str | None
    pretrained_weights: str | None
    num_gpus: int | None
    npz: bool
    continue_training: bool
    validation_only: bool
    val_best: bool
    use_compressed: bool
    disable_checkpointing: bool
    device: str | None
    tracker_disable: bool
    variant: str | None
    undeclared: bool
    seed: int | None
    deterministic: bool
    patience: int | None
    restore_best: bool
    time_budget_minutes: float | None
    tensorboard: bool
    retrain: bool
    from_run: str | None
    despite_changes: bool
    dry_run: bool
    as_json: bool
    project: Path

    @property
    def asked_now(self) -> AskedNow:
        """What is asked of this training alone."""
        return AskedNow(
            retrain=self.retrain,
            device=self.device,
            validation_only=self.validation_only,
            val_best=self.val_best,
            npz=self.npz,
            time_budget_minutes=self.time_budget_minutes,
            despite_changes=self.despite_changes,
        )

    @property
    def named(self) -> NamedFold:
        """What they name."""
        changing = {name: getattr(self, name) for name in RESULT_OPTIONS}
        unchanging = {
            "num_gpus": self.num_gpus,
            "disable_checkpointing": self.disable_checkpointing,
            "tensorboard": self.tensorboard,
        }
        return NamedFold(
            self.dataset,
            self.configuration,
            self.fold,
            trainer=self.trainer,
            plans=self.plans,
            variant=self.variant,
            undeclared=self.undeclared,
            changing={name: value for name, value in changing.items() if value is not None and value is not False},
            unchanging={name: value for name, value in unchanging.items() if value is not None and value is not False},
        )
