"""What a person wants to know of nnU-Net's plans: who makes them, what they decide, why a configuration is missing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nnunet_assets.core.dataset.configurations import PLANNERS
from nnunet_assets.errors import did_you_mean

LOWRES_BELOW = 0.25
"""nnU-Net plans `3d_lowres` where the patch of `3d_fullres` covers less than this part of the median case."""


def why_dropped(plans: str, configuration: str, planned: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the planner's reason for a configuration that is not in the plans, as a sentence.

    Args:
        plans: Plans identifier.
        configuration: The wanted configuration.
        planned: What these plans have, by configuration.
    """
    if plans not in PLANNERS:
        near = did_you_mean(configuration, planned)
        return f"Your plans file has no {configuration}.{near} Available: {', '.join(planned)}."
    if configuration not in {"3d_fullres", "3d_lowres", "3d_cascade_fullres"}:
        near = did_you_mean(configuration, planned)
        return (
            f"nnU-Net's planner makes no {configuration}, and nobody added it to the plans.{near} Available: "
            f"{', '.join(planned)}."
        )
    full = planned.get("3d_fullres")
    if full is None:
        return f"The images are 2D, so that nnU-Net's planner makes no {configuration}."
    patch, median = full["patch_size"], full["median_image_size_in_voxels"]
    covered = math.prod(patch) / math.prod(median)
    numbers = f"the patch of 3d_fullres ({by_axis(patch)} voxels) covers {covered:.0%} of the median case "
    numbers += f"({by_axis(median)})"
    needs = " and 3d_cascade_fullres needs 3d_lowres," if configuration == "3d_cascade_fullres" else ""
    if covered >= LOWRES_BELOW:
        return (
            f"nnU-Net's planner makes 3d_lowres only where the patch covers less than {LOWRES_BELOW:.0%},{needs} and "
            f"here {numbers}."
        )
    return (
        f"nnU-Net's planner makes 3d_lowres only where it halves the voxels of the median case at least,{needs} and "
        f"here less of a reduction is enough: {numbers}."
    )


def plan_row(plan: Mapping[str, Any]) -> dict[str, str]:
    """Returns what decides about a training, by what it is called; axes in nnU-Net's order."""
    kwargs = plan.get("architecture", {}).get("arch_kwargs", {})
    features = kwargs.get("features_per_stage", [])
    name = plan.get("architecture", {}).get("network_class_name", "unknown")
    return {
        "patch size (voxels)": by_axis(plan.get("patch_size", [])),
        "batch size": str(plan.get("batch_size", "unknown")),
        "spacing (mm)": by_axis(plan.get("spacing", [])),
        "median shape (voxels)": by_axis(plan.get("median_image_size_in_voxels", [])),
        "network": name.rpartition(".")[2],
        "stages": str(kwargs.get("n_stages", len(features))),
        "features": ", ".join(map(str, features)),
        "normalization": ", ".join(plan.get("normalization_schemes", [])),
    }


def by_axis(values: Sequence[float]) -> str:
    """Returns `128 x 96 x 96`."""
    return " x ".join(f"{value:g}" for value in values) or "unknown"
