"""The tunable trainer with the choices of a slice-wise training: AdamW, OneCycle, light augmentation."""

from typing import Any

import torch

from nnunet_assets.trainers.nnunet_trainer_tunable import nnUNetTrainerTunable, nnUNetTrainerTunableBN


class nnUNetTrainerSliceWise(nnUNetTrainerTunable):  # noqa: N801 - as nnU-Net's are called
    """AdamW by OneCycle from 1e-4 to 1e-3, with light augmentation; for the configuration 2d, though any trains."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.optimizer_name, self.weight_decay = "AdamW", 1e-2
        self.lr_schedule, self.initial_lr, self.max_lr = "OneCycle", 1e-4, 1e-3
        self.augmentation = "light"


class nnUNetTrainerSliceWiseBN(nnUNetTrainerSliceWise, nnUNetTrainerTunableBN):  # noqa: N801 - as nnU-Net's are called
    """The same with BatchNorm in place of InstanceNorm, calibrated by 20 batches."""
