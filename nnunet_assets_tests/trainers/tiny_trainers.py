"""Trainers as nnU-Net finds and builds them, with a network of a few weights and batches that are drawn here."""

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.processes.variables import with_trainers
from nnunet_assets_tests.nnunet.trainer.test_parameters import CONFIGURATION, DATASET, DATASET_JSON, PLANS
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process

N_EPOCHS, N_ITERATIONS = 2, 3


class TinyTrainers:
    """A dataset that nnU-Net would train on, without a case in it.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        cases = folder / "preprocessed" / DATASET / CONFIGURATION["data_identifier"]
        cases.mkdir(parents=True)
        (cases / "case_0.b2nd").touch()
        roots = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
        self.variables = with_trainers(roots)

    def build(self, name: str, *, dataset: Mapping[str, Any] = DATASET_JSON, **chosen: Any) -> Any:
        """Returns a trainer, not initialized."""
        import torch

        torch.manual_seed(0)
        trainer = found_by_nnunet(name)(copy.deepcopy(PLANS), "3d_fullres", 0, dict(dataset), torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch = N_EPOCHS, N_ITERATIONS
        for attribute, value in chosen.items():
            assert hasattr(trainer, attribute)
            setattr(trainer, attribute, value)
        return trainer

    def build_by_name_of_arguments(self, name: str) -> Any:
        """Builds a trainer as nnU-Net's `get_trainer_from_args` does; an earlier one of that name may be another."""
        import torch

        return found_by_nnunet.__wrapped__(name)(
            plans=copy.deepcopy(PLANS),
            configuration="3d_fullres",
            fold=0,
            dataset_json=dict(DATASET_JSON),
            device=torch.device("cpu"),
        )

    def initialized(self, name: str, **chosen: Any) -> Any:
        """Returns a trainer with a network, and batches for its calibration."""
        trainer = self.build(name, **chosen)
        trainer.initialize()
        trainer.dataloader_train = (batch(100 + number) for number in range(1000))
        return trainer

    def train(self, trainer: Any, epochs: range = range(N_EPOCHS)) -> list[tuple[float, float]]:
        """Trains epochs; returns loss and learning rate of each iteration."""
        import torch

        seen = []
        for epoch in epochs:
            trainer.current_epoch = epoch
            trainer.on_train_epoch_start()
            for iteration in range(N_ITERATIONS):
                torch.manual_seed(iteration)  # for dropout
                loss = trainer.train_step(batch(epoch * N_ITERATIONS + iteration))["loss"]
                seen.append((float(loss), trainer.optimizer.param_groups[0]["lr"]))
            trainer.on_validation_epoch_start()
        return seen


@cache
def found_by_nnunet(name: str) -> Any:
    """Returns a trainer's class, for which nnU-Net walks through all modules that were imported: 0.2 s."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    return recursive_find_trainer_class_by_name(name)


def batch(seed: int) -> dict[str, Any]:
    """Returns two patches (batch, channel, x, y, z), and their labels at both resolutions."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 1, *CONFIGURATION["patch_size"]), generator=drawn).float()
    data = torch.randn(2, 1, *CONFIGURATION["patch_size"], generator=drawn)
    return {"data": data, "target": [labels, labels[:, :, ::2, ::2, ::2]]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyTrainers]:
    """For a test module that imports it."""
    trainers = TinyTrainers(tmp_path_factory.mktemp("trainers"))
    with nnunet_in_process(trainers.variables):
        yield trainers
