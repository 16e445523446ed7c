"""nnU-Net's trainer with optimizer, learning rate, loss, dropout, augmentation and BatchNorm to choose."""

from collections.abc import Mapping
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5
from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA
from nnunetv2.training.nnUNetTrainer.variants.loss.nnUNetTrainerCELoss import nnUNetTrainerCELoss
from nnunetv2.training.nnUNetTrainer.variants.loss.nnUNetTrainerDiceLoss import nnUNetTrainerDiceLoss
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerBN import nnUNetTrainerBN
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam

from nnunet_assets.trainers.parts.augmentation import without_intensities
from nnunet_assets.trainers.parts.batch_norm import batch_norms, fresh_statistics
from nnunet_assets.trainers.parts.dropout import add_dropout
from nnunet_assets.trainers.parts.learning_rates import EachIteration, cosine, one_cycle

OPTIMIZERS = {"SGD": nnUNetTrainer, "AdamW": nnUNetTrainerAdam}
SCHEDULES = {"poly": None, "OneCycle": one_cycle, "cosine": cosine}
LOSSES = {"dice_ce": nnUNetTrainer, "dice": nnUNetTrainerDiceLoss, "ce": nnUNetTrainerCELoss}
AUGMENTATIONS = {"nnunet": nnUNetTrainer, "light": nnUNetTrainer, "none": nnUNetTrainerNoDA, "DA5": nnUNetTrainerDA5}
"""By the word in a variant, the trainer of nnU-Net's that has it."""


class nnUNetTrainerTunable(nnUNetTrainer):  # noqa: N801 - as nnU-Net's are called
    """nnU-Net's trainer; where nothing is chosen it trains as that does, to the last bit.

    Attributes:
        optimizer_name: SGD, or AdamW with nnU-Net's settings (amsgrad).
        lr_schedule: poly, as nnU-Net's; OneCycle; or cosine, after a warm-up.
        max_lr: Peak of OneCycle, which begins at `initial_lr`; None: 25 times that.
        warmup_epochs: Over which cosine rises to `initial_lr`.
        loss_function: dice_ce, as nnU-Net's; dice; or ce, for cross-entropy.
        dropout_rate: How likely a feature map is dropped, from 0 to 1.
        augmentation: nnunet; light, which only rotates, scales and mirrors; none; or DA5.
        warmup_batches: Training batches that BatchNorm's statistics are made of before each validation; 0: they stay.
        slice_batch: In parts of how many patches those go through the network; 0: whole.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.optimizer_name = "SGD"
        self.lr_schedule = "poly"
        self.max_lr: float | None = None
        self.warmup_epochs = 0
        self.loss_function = "dice_ce"
        self.dropout_rate = 0.0
        self.augmentation = "nnunet"
        self.warmup_batches = 0
        self.slice_batch = 0

    def initialize(self) -> None:
        """Builds network, optimizer and loss.

        Raises:
            ValueError: A choice is none that there is, or does not fit another or the dataset; nothing is built then.
        """
        self._check()
        super().initialize()
        if self.dropout_rate:
            add_dropout(self.network, self.dropout_rate)
        if self.warmup_batches and not batch_norms(self.network):
            raise ValueError("warmup_batches needs a network with BatchNorm; nnUNetTrainerTunableBN has one.")

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Returns optimizer and learning rate."""
        optimizer, poly = OPTIMIZERS[self.optimizer_name].configure_optimizers(self)
        schedule = SCHEDULES[self.lr_schedule]
        return optimizer, poly if schedule is None else schedule(optimizer, self)

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Trains on a batch, at the learning rate of its iteration."""
        if isinstance(self.lr_scheduler, EachIteration):
            self.lr_scheduler.begin_iteration()
        trained: dict[str, Any] = super().train_step(batch)
        return trained

    def on_validation_epoch_start(self) -> None:
        """Makes BatchNorm's statistics true, which the epoch's checkpoint holds then."""
        if self.warmup_batches:
            self.calibrate()
        super().on_validation_epoch_start()

    def calibrate(self) -> None:
        """Makes BatchNorm's statistics of the next `warmup_batches` training batches, in full precision."""
        with fresh_statistics(self.network):
            for _ in range(self.warmup_batches):
                patches = next(self.dataloader_train)["data"]
                for part in patches.split(self.slice_batch or len(patches)):
                    self.network(part.to(self.device, non_blocking=True).float())

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the augmentation; the arguments are nnU-Net's."""
        transforms = AUGMENTATIONS[self.augmentation].get_training_transforms(*args, **kwargs)
        return without_intensities(transforms) if self.augmentation == "light" else transforms

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802 - nnU-Net's
        self,
    ) -> tuple[Any, bool, Any, Any]:
        """Returns rotation, whether 3D is augmented in 2D, the patch before that, and the axes to mirror."""
        if self.augmentation == "DA5":
            found: tuple[Any, bool, Any, Any] = (
                nnUNetTrainerDA5.configure_rotation_dummyDA_mirroring_and_inital_patch_size(self)
            )
            return found
        rotation, dummy_2d, patch_size, axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.augmentation == "none":
            # As nnUNetTrainerNoDA, which cannot be asked: nothing mirrored is predicted either.
            patch_size, axes = self.configuration_manager.patch_size, None
            self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch_size, axes

    def _build_loss(self) -> Any:
        return LOSSES[self.loss_function]._build_loss(self)

    def _check(self) -> None:
        chosen = {
            "optimizer_name": OPTIMIZERS,
            "lr_schedule": SCHEDULES,
            "loss_function": LOSSES,
            "augmentation": AUGMENTATIONS,
        }
        for name, known in chosen.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} is {value!r}; it is one of {', '.join(known)}.")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate is {self.dropout_rate}; it is at least 0 and below 1.")
        if self.max_lr is not None and (self.lr_schedule != "OneCycle" or self.max_lr < self.initial_lr):
            raise ValueError(
                f"max_lr is {self.max_lr}: it is the peak of lr_schedule OneCycle (here {self.lr_schedule}), and not "
                f"below initial_lr ({self.initial_lr})."
            )
        if self.warmup_epochs and not (self.lr_schedule == "cosine" and 0 < self.warmup_epochs < self.num_epochs):
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs}: it belongs to lr_schedule cosine (here {self.lr_schedule}), "
                f"and is below num_epochs ({self.num_epochs})."
            )
        if min(self.warmup_batches, self.slice_batch) < 0 or (self.slice_batch and not self.warmup_batches):
            raise ValueError(
                f"slice_batch is {self.slice_batch} and warmup_batches {self.warmup_batches}; neither is below 0, and "
                "slice_batch belongs to warmup_batches."
            )
        if self.loss_function == "ce" and self.label_manager.has_regions:
            raise ValueError("loss_function ce needs labels that do not overlap; for regions take dice_ce or dice.")
        if self.loss_function == "dice" and self.label_manager.has_ignore_label:
            raise ValueError("loss_function dice knows no ignore label; take dice_ce or ce for this dataset.")


class nnUNetTrainerTunableBN(nnUNetTrainerTunable):  # noqa: N801 - as nnU-Net's are called
    """The same with BatchNorm in place of InstanceNorm, as nnU-Net's nnUNetTrainerBN, calibrated by 20 batches."""

    build_network_architecture = staticmethod(nnUNetTrainerBN.build_network_architecture)

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.warmup_batches = 20
