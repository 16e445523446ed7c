"""How a fold is trained beside what it is trained on: nnU-Net's own flags, and what this package adds to them."""

from dataclasses import dataclass, field

from nnunet_assets.core.training.watch import Watch


@dataclass(frozen=True)
class TrainingOptions:
    """What is asked of one training.

    The first group changes the result: a variant declares it, and it is part of the fold's training hash. The second
    does not.

    Attributes:
        pretrained_weights: Absolute path of the checkpoint whose weights the training starts from; None: random ones.
        seed: Seeds Python, numpy, torch and the augmentation workers; None: not seeded.
        deterministic: One process for training and augmentation, and deterministic algorithms only.
        patience: Stop after so many epochs without a better moving average of the pseudo Dice; None: train them all.
        restore_best: End with the weights of the epoch that was best by that moving average, in the final checkpoint.
        num_gpus: GPUs that one training uses together.
        npz: Write the class probabilities of the validation cases, as `nnUNetv2_find_best_configuration` needs them
            for ensembles.
        disable_checkpointing: Write no checkpoint at all; such a fold cannot be resumed, nor used to predict.
        checkpoint_minutes: At most so many minutes of training can be lost, or one epoch where that is longer.
        checkpoint_every: Write a checkpoint that stays, under its number, every so many epochs; None: none.
        checkpoints_kept: How many of those stay, the newest.
        time_budget_minutes: Stop after the last epoch that leaves time to validate within so many minutes from
            when the fold is asked for, a wait for a GPU included; None: no limit.
        tensorboard: Write the curves for TensorBoard too.
        watch: What else is written down for those who watch the training.
        validation_only: Predict and score the validation cases of a trained fold again, train nothing.
        val_best: Validate `checkpoint_best.pth` in place of the final one.
    """

    pretrained_weights: str | None = None
    seed: int | None = None
    deterministic: bool = False
    patience: int | None = None
    restore_best: bool = False

    num_gpus: int = 1
    npz: bool = False
    disable_checkpointing: bool = False
    checkpoint_minutes: float = 10.0
    checkpoint_every: int | None = None
    checkpoints_kept: int = 3
    time_budget_minutes: float | None = None
    tensorboard: bool = False
    watch: Watch = field(default_factory=Watch)
    validation_only: bool = False
    val_best: bool = False

    @property
    def n_kept_checkpoints(self) -> int:
        """How many checkpoints stay beside those that nnU-Net writes."""
        return self.checkpoints_kept if self.checkpoint_every else 0
