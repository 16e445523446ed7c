"""The tunable trainers: nnU-Net's own where nothing is chosen, and what each choice changes."""

import os
from importlib import import_module
from typing import Any

import pytest

from nnunet_assets.processes.variables import AUGMENTATION
from nnunet_assets_tests.nnunet.trainer.test_parameters import DATASET_JSON
from nnunet_assets_tests.trainers.tiny_trainers import N_EPOCHS, TinyTrainers, batch, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer

REGIONS = {
    **DATASET_JSON,
    "labels": {"background": 0, "whole": [1, 2], "core": 2},
    "regions_class_order": [1, 2],
}
IGNORED = {**DATASET_JSON, "labels": {"background": 0, "organ": 1, "ignore": 2}}


def test_where_nothing_is_chosen_it_trains_as_nnunets_own_to_the_last_bit(tiny: TinyTrainers) -> None:
    import torch

    own, tunable = (tiny.initialized(name) for name in ("nnUNetTrainer", "nnUNetTrainerTunable"))

    assert tiny.train(own) == tiny.train(tunable)
    weights = tunable.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in own.network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("nnUNetTrainerTunable", {"optimizer_name": "AdamW", "initial_lr": 1e-3}),
        ("nnUNetTrainerTunable", {"lr_schedule": "cosine", "warmup_epochs": 1}),
        ("nnUNetTrainerTunable", {"dropout_rate": 0.5}),
        ("nnUNetTrainerTunable", {"loss_function": "dice"}),
        ("nnUNetTrainerTunable", {"loss_function": "ce"}),
        ("nnUNetTrainerSliceWise", {}),
        ("nnUNetTrainerSliceWiseBN", {"warmup_batches": 2}),
    ],
    ids=str,
)
def test_each_choice_changes_the_training_and_goes_on_alike_after_a_checkpoint(
    tiny: TinyTrainers, name: str, chosen: dict[str, Any], tmp_path: Any
) -> None:
    whole = tiny.initialized(name, **chosen)
    seen = tiny.train(whole)
    assert seen != tiny.train(tiny.initialized("nnUNetTrainer"))

    begun = tiny.initialized(name, **chosen)
    first = tiny.train(begun, range(1))
    begun.save_checkpoint(file := str(tmp_path / "checkpoint.pth"))
    resumed = tiny.build(name, **chosen)
    resumed.load_checkpoint(file)
    resumed.dataloader_train = begun.dataloader_train

    assert first + tiny.train(resumed, range(1, N_EPOCHS)) == seen


@pytest.mark.parametrize(
    ("name", "other"), [("nnUNetTrainerTunable", "nnUNetTrainer"), ("nnUNetTrainerTunableBN", "nnUNetTrainerBN")]
)
def test_its_weights_load_into_nnunets_own_network_and_predict_the_same(
    tiny: TinyTrainers, name: str, other: str
) -> None:
    import torch

    trained, own = tiny.initialized(name, dropout_rate=0.5), tiny.initialized(other)
    tiny.train(trained, range(1))
    own.network.load_state_dict(trained.network.state_dict())
    own.network.eval()
    trained.network.eval()
    with torch.no_grad():
        for expected, found in zip(own.network(batch(7)["data"]), trained.network(batch(7)["data"]), strict=True):
            assert torch.equal(expected, found)


def test_the_statistics_of_batch_norm_are_those_of_the_weights_as_they_are(tiny: TinyTrainers) -> None:
    import torch

    trainer = tiny.initialized("nnUNetTrainerTunableBN", warmup_batches=2, slice_batch=1)
    trainer.num_epochs = 1
    tiny.train(trainer, range(1))

    first = next(module for module in trainer.network.modules() if isinstance(module, torch.nn.BatchNorm3d))
    block = next(module for module in trainer.network.modules() if hasattr(module, "conv") and hasattr(module, "norm"))
    with torch.no_grad():
        maps = [block.conv(patch[None]) for seed in (100, 101) for patch in batch(seed)["data"]]
    means = torch.stack([one.mean(dim=(0, 2, 3, 4)) for one in maps])
    assert torch.allclose(first.running_mean, means.mean(dim=0), atol=1e-6)
    assert first.num_batches_tracked == 4
    assert first.momentum == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("augmentation", "kept", "mirrors"),
    [("nnunet", 11, True), ("light", 4, True), ("none", 2, False)],
)
def test_augmentations_are_nnunets_whole_in_part_or_none(
    tiny: TinyTrainers, augmentation: str, kept: int, mirrors: bool
) -> None:
    trainer = tiny.build("nnUNetTrainerTunable", augmentation=augmentation)
    rotation, dummy_2d, patch_size, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    transforms = trainer.get_training_transforms(
        trainer.configuration_manager.patch_size, rotation, [[1, 1, 1], [0.5, 0.5, 0.5]], axes, dummy_2d
    )

    assert len(transforms.transforms) == kept
    assert (trainer.inference_allowed_mirroring_axes is not None) == mirrors
    assert (tuple(patch_size) == tuple(trainer.configuration_manager.patch_size)) != mirrors


def test_da5_is_nnunets(tiny: TinyTrainers) -> None:
    ours, nnunets = tiny.build("nnUNetTrainerTunable", augmentation="DA5"), tiny.build("nnUNetTrainerDA5")
    described = []
    for trainer in (ours, nnunets):
        rotation, dummy_2d, patch_size, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        made = trainer.get_training_transforms(patch_size, rotation, None, axes, dummy_2d, [False])
        names = [type(getattr(one, "transform", one)).__name__ for one in made.transforms]
        described.append((rotation, dummy_2d, tuple(patch_size), axes, names))
    assert described[0] == described[1]


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"optimizer_name": "adam"}, "optimizer_name is 'adam'; it is one of SGD, AdamW."),
        ({"lr_schedule": "step"}, "lr_schedule is 'step'"),
        ({"loss_function": "focal"}, "loss_function is 'focal'"),
        ({"augmentation": "heavy"}, "augmentation is 'heavy'"),
        ({"dropout_rate": 1.0}, "dropout_rate is 1.0"),
        ({"max_lr": 0.1}, "max_lr is 0.1: it is the peak of lr_schedule OneCycle (here poly)"),
        ({"lr_schedule": "OneCycle", "max_lr": 1e-3}, "not below initial_lr (0.01)"),
        ({"warmup_epochs": 1}, "it belongs to lr_schedule cosine (here poly)"),
        ({"lr_schedule": "cosine", "warmup_epochs": 2}, "below num_epochs (2)"),
        ({"slice_batch": 2}, "slice_batch belongs to warmup_batches"),
        ({"warmup_batches": -1}, "neither is below 0"),
        ({"warmup_batches": 2}, "warmup_batches needs a network with BatchNorm"),
        ({"dataset": REGIONS, "loss_function": "ce"}, "needs labels that do not overlap"),
        ({"dataset": IGNORED, "loss_function": "dice"}, "knows no ignore label"),
    ],
    ids=str,
)
def test_choices_that_do_not_fit_are_told_before_anything_is_built(
    tiny: TinyTrainers, chosen: dict[str, Any], sentence: str
) -> None:
    trainer = tiny.build("nnUNetTrainerTunable", **chosen)
    with pytest.raises(ValueError, match=r".") as caught:
        trainer.initialize()
    assert sentence in str(caught.value)


def test_dropout_that_the_plans_have_is_not_doubled(tiny: TinyTrainers) -> None:
    trainer = tiny.build("nnUNetTrainerTunable", dropout_rate=0.1)
    network = trainer.configuration_manager.network_arch_init_kwargs
    network |= {"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0.2}}
    with pytest.raises(ValueError, match="The plans have dropout already"):
        trainer.initialize()


@pytest.mark.parametrize("name", ["nnUNetTrainer", "nnUNetTrainerSliceWiseBN"])
def test_a_checkpoint_holds_all_that_a_training_goes_on_with(tiny: TinyTrainers, name: str, tmp_path: Any) -> None:
    import torch

    trainer = tiny.initialized(name)
    tiny.train(trainer, range(1))
    trainer.current_epoch, trainer._best_ema = 3, 0.25
    trainer.save_checkpoint(file := str(tmp_path / "checkpoint.pth"))
    found = torch.load(file, weights_only=False)

    assert (found["current_epoch"], found["_best_ema"], found["trainer_name"]) == (4, 0.25, name)
    assert found["network_weights"].keys() == trainer.network.state_dict().keys()
    assert found["optimizer_state"]["state"]  # moments; the learning rate follows from the epoch
    assert "grad_scaler_state" in found  # none on a CPU
    assert found["init_args"]["plans"]["configurations"]
    assert "ema_fg_dice" in found["logging"]


@pytest.mark.parametrize("name", ["nnUNetTrainer", "nnUNetTrainerSliceWiseBN"])
@pytest.mark.parametrize(("n_workers", "expected"), [("0", [None, None]), ("1", [1, 1]), ("6", [6, 3])])
def test_patches_are_augmented_by_as_many_workers_as_the_variable_says(
    tiny: TinyTrainers, monkeypatch: pytest.MonkeyPatch, name: str, n_workers: str, expected: list[int | None]
) -> None:
    nnunets = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    counted: list[int | None] = []

    def augmenter(*_: Any, num_processes: int | None = None, **__: Any) -> Any:
        counted.append(num_processes)
        return iter([None])

    monkeypatch.setattr(os, "cpu_count", lambda: 8)  # of which nnU-Net takes no more
    monkeypatch.setenv(AUGMENTATION, n_workers)
    monkeypatch.setattr(nnunets, "nnUNetDataLoader", lambda *_, **__: None)
    for kind in ("SingleThreadedAugmenter", "NonDetMultiThreadedAugmenter"):
        monkeypatch.setattr(nnunets, kind, augmenter)
    trainer = tiny.initialized(name)
    trainer.get_tr_and_val_datasets = lambda: (None, None)

    trainer.get_dataloaders()

    assert counted == expected  # of the training, of the validation
