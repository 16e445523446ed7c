"""A real, initialized nnU-Net trainer: it has what is used of it, and parameters; so have ones that users bent."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.tracking.store.names import flattened, search_tags
from nnunet_assets_tests.nnunet.trainer_contract import missing_of

DATASET = "Dataset950_Tiny"
RESAMPLING = {
    f"resampling_fn_{kind}{end}": value
    for kind in ("data", "seg", "probabilities")
    for end, value in (("", "resample_data_or_seg_to_shape"), ("_kwargs", {"is_seg": kind == "seg", "order": 1}))
}
CONFIGURATION: dict[str, Any] = {
    "data_identifier": "nnUNetPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [16, 20, 24],
    "median_image_size_in_voxels": [16, 20, 24],
    "spacing": [1.0, 1.0, 2.0],
    "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False],
    **RESAMPLING,
    "batch_dice": False,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
}
PLANS = {
    "dataset_name": DATASET,
    "plans_name": "nnUNetPlans",
    "label_manager": "LabelManager",
    "image_reader_writer": "SimpleITKIO",
    "configurations": {"3d_fullres": CONFIGURATION},
    "continue_training": False,
}
DATASET_JSON = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "organ": 1, "lesion": 2},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}

# nnU-Net reads its folders when it is imported, hence a process of its own.
CODE = """
import json, random, sys
import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.trainer.parameters import training_parameters
from nnunet_assets_tests.nnunet.trainer_contract import missing_of

class OddTrainer(nnUNetTrainer):
    def _build_loss(self):
        loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0]))
        loss.owner = self  # a circle
        return loss
    def configure_optimizers(self):
        groups = [{"params": [weight], "lr": 0.1} for weight in list(self.network.parameters())[:2]]
        optimizer = torch.optim.AdamW(groups)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 10)
    @staticmethod
    def get_training_transforms(*args, **kwargs):
        raise ValueError("no augmentation")

plans, description = json.loads(sys.argv[1])
asked = {"overrides": {"num_epochs": 3}, "options": TrainingOptions(seed=7)}
def random_state():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

found, lacking = [], {}
for kind in (nnUNetTrainer, OddTrainer):
    trainer = kind(json.loads(json.dumps(plans)), "3d_fullres", 0, description, torch.device("cpu"))
    trainer.initialize()
    lacking[kind.__name__] = missing_of(trainer)
    before = random_state()
    found.append(training_parameters(trainer, Experiment("Dataset950_Tiny", "3d_fullres"), "fold_0", **asked))
    assert random_state() == before, "reading the parameters changed the training"
print(json.dumps({"parameters": found, "lacking": lacking}, allow_nan=False))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is read of nnU-Net's trainer, and of one with everything odd; once, since torch takes seconds to import."""
    folder = tmp_path_factory.mktemp("parameters")
    cases = folder / "preprocessed" / DATASET / CONFIGURATION["data_identifier"]
    cases.mkdir(parents=True)
    # By the files in it nnU-Net knows how the cases are stored.
    (cases / "case_0.b2nd").touch()
    splits = [{"train": ["case_0", "case_1"], "val": ["case_2"]}]
    (cases.parent / "splits_final.json").write_text(json.dumps(splits))
    roots = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([PLANS, DATASET_JSON])],
        env={**os.environ, **roots},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def parameters(read: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of nnU-Net's trainer, and of the odd one."""
    found: list[dict[str, Any]] = read["parameters"]
    return found


def test_nnunets_trainer_has_all_that_is_used_of_it(read: dict[str, Any]) -> None:
    assert read["lacking"]["nnUNetTrainer"] == []


def test_a_trainer_that_lacks_something_is_seen_to(read: dict[str, Any]) -> None:
    # It takes the arguments of its augmentation as they come.
    assert "trainer.get_training_transforms(rotation_for_DA)" in read["lacking"]["OddTrainer"]
    bare = SimpleNamespace(**dict.fromkeys(("logger", "plans_manager", "configuration_manager", "label_manager")))
    assert {"trainer.save_every", "trainer.do_split", "logger.get_value", "label_manager.has_regions"} <= {
        *missing_of(bare)
    }


def test_more_than_sixty_parameters_of_every_kind_are_there(parameters: list[dict[str, Any]]) -> None:
    flat = flattened(parameters[0])
    assert len(flat) > 150
    expected = {
        "overrides/num_epochs": "3",
        "options/seed": "7",
        "trainer/num_iterations_per_epoch": "250",
        "data/n_training_cases": "2",
        "data/n_validation_cases": "1",
        "data/labels": '["background", "organ", "lesion"]',
        "plans/batch_size": "2",
        "plans/patch_size": "[16, 20, 24]",
        "plans/normalization_schemes": '["ZScoreNormalization"]',
        "architecture/class": "PlainConvUNet",
        "optimizer/class": "SGD",
        "optimizer/momentum": "0.99",
        "optimizer/nesterov": "True",
        "lr_scheduler/class": "PolyLRScheduler",
        "lr_scheduler/exponent": "0.9",
        "loss/class": "DC_and_CE_loss",
        "loss/weight_ce": "1",
        "loss/dc/class": "MemoryEfficientSoftDiceLoss",
        "augmentation/00_SpatialTransform/p_rotation": "0.2",
        "augmentation/01_GaussianNoiseTransform/apply_probability": "0.1",
        "augmentation/08_MirrorTransform/allowed_axes": "[0, 1, 2]",
        "device/kind": "cpu",
        "device/precision": "float32",
    }
    assert {key: flat.get(key) for key in expected} == expected


def test_network_parameters_are_counted(parameters: list[dict[str, Any]]) -> None:
    def convolution(kernel: int, n_in: int, n_out: int) -> int:
        return kernel * n_in * n_out + n_out

    def block(n_in: int, n_out: int) -> int:
        return convolution(27, n_in, n_out) + 2 * n_out  # with an instance norm

    encoder = block(1, 4) + block(4, 8) + block(8, 8)
    # Up by a kernel of 2 x 2 x 2; what comes over the skip connection doubles the channels.
    decoder = convolution(8, 8, 8) + block(16, 8) + convolution(8, 8, 4) + block(8, 4)
    heads = convolution(1, 8, 3) + convolution(1, 4, 3)
    assert parameters[0]["architecture"]["n_parameters"] == encoder + decoder + heads


def test_they_give_the_tags_to_search_by(parameters: list[dict[str, Any]]) -> None:
    tags = search_tags(parameters[0])
    assert tags["nnunet_assets.architecture"] == "PlainConvUNet"
    assert (tags["nnunet_assets.loss"], tags["nnunet_assets.optimizer"]) == ("DC_and_CE_loss", "SGD")
    assert (tags["nnunet_assets.device"], tags["nnunet_assets.pretrained"]) == ("cpu", "no")


def test_no_parameter_is_a_path(parameters: list[dict[str, Any]]) -> None:
    assert [value for value in flattened(parameters[0]).values() if value.startswith("/")] == []


def test_a_trainer_of_the_users_own_shows_what_it_does(parameters: list[dict[str, Any]]) -> None:
    flat = flattened(parameters[1])
    assert (flat["loss/class"], flat["loss/weight"]) == ("CrossEntropyLoss", "[1.0, 2.0, 4.0]")
    assert (flat["optimizer/class"], flat["optimizer/group_1/lr"]) == ("AdamW", "0.1")
    assert (flat["lr_scheduler/class"], flat["lr_scheduler/step_size"]) == ("StepLR", "10")


def test_what_cannot_be_read_says_why_and_does_not_end_the_training(parameters: list[dict[str, Any]]) -> None:
    assert parameters[1]["augmentation"] == {"unknown": "ValueError: no augmentation"}
