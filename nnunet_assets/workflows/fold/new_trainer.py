"""A trainer class of a project's own, to begin with."""

import re
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.settings import Settings, project_trainers

TEMPLATE = '''"""A trainer of this project: nnU-Net's own, but for what stands below."""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class {name}(nnUNetTrainer):
    """SGD with a momentum to choose."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        # What is set here, `hyperparameters` of a variant may set otherwise.
        self.momentum = 0.95

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer, lr_scheduler = super().configure_optimizers()
        for group in optimizer.param_groups:
            group["momentum"] = self.momentum
        return optimizer, lr_scheduler
'''


def write_new_trainer(settings: Settings, name: str) -> Path:
    """Writes a trainer class into the project, where nnU-Net finds it from now on; returns the file.

    Raises:
        ConfigError: The name is none for a class, or there is a trainer or a file of that name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or "__" in name:
        raise ConfigError(
            f"A trainer cannot be called {name!r}: letters, digits and single underscores make its name, such as "
            "nnUNetTrainerMine."
        )
    if known := found_trainers(settings.child_environment()).classes.get(name):
        raise ConfigError(f"There is a trainer {name} already, in {known.file}:{known.line}. Choose another name.")
    file = project_trainers(settings.project) / f"{name}.py"
    if file.exists():
        raise ConfigError(f"{file} is there already. Choose another name, or move the file away.")
    write_atomically(file, TEMPLATE.format(name=name).encode())
    return file
