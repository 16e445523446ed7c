from typing import Any

import pytest

from nnunet_assets.nnunet.plans.plan_card import plan_row, why_dropped

FULL = {"patch_size": [64, 96, 96], "median_image_size_in_voxels": [80.0, 100.0, 100.0]}
PLANNED = {"2d": {}, "3d_fullres": FULL}
NARROW = {"2d": {}, "3d_fullres": {**FULL, "median_image_size_in_voxels": [160.0, 160.0, 100.0]}}


@pytest.mark.parametrize(
    ("plans", "configuration", "planned", "reason"),
    [
        (
            "nnUNetPlans",
            "3d_lowres",
            PLANNED,
            "nnU-Net's planner makes 3d_lowres only where the patch covers less than 25%, and here the patch of "
            "3d_fullres (64 x 96 x 96 voxels) covers 74% of the median case (80 x 100 x 100).",
        ),
        (
            "nnUNetResEncUNetLPlans",
            "3d_cascade_fullres",
            PLANNED,
            "nnU-Net's planner makes 3d_lowres only where the patch covers less than 25%, and 3d_cascade_fullres needs "
            "3d_lowres, and here the patch of 3d_fullres (64 x 96 x 96 voxels) covers 74% of the median case "
            "(80 x 100 x 100).",
        ),
        (
            "nnUNetPlans",
            "3d_lowres",
            NARROW,
            "nnU-Net's planner makes 3d_lowres only where it halves the voxels of the median case at least, and here "
            "less of a reduction is enough: the patch of 3d_fullres (64 x 96 x 96 voxels) covers 23% of the median "
            "case (160 x 160 x 100).",
        ),
        (
            "nnUNetPlans",
            "3d_fullres",
            {"2d": {}},
            "The images are 2D, so that nnU-Net's planner makes no 3d_fullres.",
        ),
        (
            "nnUNetPlans",
            "3d_big",
            PLANNED,
            "nnU-Net's planner makes no 3d_big, and nobody added it to the plans. Available: 2d, 3d_fullres.",
        ),
        (
            "MyPlans",
            "3d_lowres",
            PLANNED,
            "Your plans file has no 3d_lowres. Did you mean 3d_fullres? Available: 2d, 3d_fullres.",
        ),
    ],
)
def test_a_configuration_that_is_not_planned_has_a_reason_with_numbers(
    plans: str, configuration: str, planned: Any, reason: str
) -> None:
    assert why_dropped(plans, configuration, planned) == reason


def test_a_plan_is_told_in_a_row() -> None:
    kwargs = {"n_stages": 3, "features_per_stage": [32, 64, 128]}
    network = {"network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet"}
    plan = {
        **FULL,
        "batch_size": 2,
        "spacing": [2.5, 1.0, 0.9765625],
        "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
        "architecture": {**network, "arch_kwargs": kwargs},
    }
    assert plan_row(plan) == {
        "patch size (voxels)": "64 x 96 x 96",
        "batch size": "2",
        "spacing (mm)": "2.5 x 1 x 0.976562",
        "median shape (voxels)": "80 x 100 x 100",
        "network": "PlainConvUNet",
        "stages": "3",
        "features": "32, 64, 128",
        "normalization": "CTNormalization, ZScoreNormalization",
    }


def test_a_plan_of_which_little_is_known_is_told_too() -> None:
    assert plan_row({})["network"] == plan_row({})["patch size (voxels)"] == "unknown"
