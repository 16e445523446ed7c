"""Descriptions as a model.json has them, of models that are not there."""

from dataclasses import replace

from nnunet_assets.core.model.model_description import (
    SCHEMA_VERSION,
    DescribedMember,
    ExpectedChannel,
    ExpectedImages,
    ModelDescription,
    ModelNumber,
)
from nnunet_assets.core.model.package_layout import expected_files
from nnunet_assets.core.statistics.estimate import Interval

DATASET = "Dataset001_Tiny"
IMAGES = ExpectedImages(".nii.gz", (ExpectedChannel("CT", "CTNormalization", -900.0, 400.0, None, None),), *[None] * 4)
NUMBER = ModelNumber(0.87, Interval(0.85, 0.89), 50, "Mean Dice of the cross-validation.")


def member(
    configuration: str, weight: float, previous: str | None = None, variant: str | None = None
) -> DescribedMember:
    """Returns a member of a package with several."""
    name = "/".join([*([variant] if variant else []), f"nnUNetTrainer__nnUNetPlans__{configuration}"])
    return DescribedMember(
        name=f"{DATASET}/{name}",
        path=f"members/{name}",
        dataset=DATASET,
        trainer="nnUNetTrainer",
        plans="nnUNetPlans",
        configuration=configuration,
        variant=variant,
        folds=("fold_0", "fold_1"),
        checkpoint="checkpoint_final.pth",
        weight=weight,
        previous=f"members/nnUNetTrainer__nnUNetPlans__{previous}" if previous else None,
    )


def described(kind: str, *members: DescribedMember) -> ModelDescription:
    """Returns what a package of these members says of itself."""
    description = ModelDescription(
        schema_version=SCHEMA_VERSION,
        title="A model",
        kind=kind,
        members=members,
        labels={"background": 0, "organ": 1},
        regions_class_order=None,
        images=IMAGES,
        numbers={"dice": NUMBER},
        selection=None,
        inputs={},
        intended_use=None,
        licence=None,
        versions={"nnunetv2": "2.8.1"},
        files={},
    )
    return replace(description, files=dict.fromkeys(expected_files(description), "0" * 64))


SINGLE = described("single", replace(member("2d", 1.0), path="."))
CASCADE = described("cascade", member("3d_cascade_fullres", 1.0, "3d_lowres"), member("3d_lowres", 0.0))
ENSEMBLE = described(
    "ensemble", member("2d", 0.5), member("3d_cascade_fullres", 0.5, "3d_lowres"), member("3d_lowres", 0.0)
)
