"""What is measured of which label, and what an empty mask, an ignored voxel or a tolerance means: the stated policy.

A policy is made of dataset.json and of what a declaration adds; its digest changes with everything that changes a
number, so that a result that was kept is used only where it would come out the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.errors import EvaluationError, first_offenders

METRICS_VERSION = 2
"""Raised whenever `case_metrics` gives another number for the same voxels, or more of them: what was kept is then
computed anew."""

READ_VERSIONS = (2, 1)
"""Whose evaluations are shown: 1 has no surface elements, and otherwise the same numbers where it took the spacing from
the header as nnU-Net's reader does (of sform and qform that differ it may not have)."""

DEFAULT_NSD_TOLERANCE_MM = 2.0
"""About what two readers differ by on organs in CT and MRI of 1 to 3 mm voxels. A paper states its own for each label,
as the Decathlon does (from 1 mm for the hippocampus to 7 mm for the liver)."""

DEFINITIONS = {
    "dice": "2 TP / (2 TP + FP + FN), voxels of the whole case.",
    "iou": "TP / (TP + FP + FN).",
    "sensitivity": "TP / (TP + FN); undefined where the reference is empty.",
    "precision": "TP / (TP + FP); undefined where the prediction is empty.",
    "surface": "Of hd95_mm, assd_mm and nsd: the voxels of a mask with a face on its outside, at their centres, each "
    "counted the same, as in MONAI and MetricsReloaded; the image's border is outside. An axis of one voxel is no "
    "axis.",
    "surface_elements": "Of hausdorff95_surface_mm, assd_surface_mm and nsd_surface: the elements of the surface "
    "between the voxels, counted by their area in mm2 (length, of a plane), as in google-deepmind/surface-distance.",
    "hd95_mm": "The larger of the two directed 95th percentiles (linear interpolation) of the distances from each "
    "surface voxel to the other surface.",
    "assd_mm": "The mean of the distances of both directions taken together.",
    "nsd": "The part of both surfaces' voxels that lies within the tolerance (at most so far) of the other surface.",
    "hausdorff95_surface_mm": "The larger of the two directed distances within which 95 % of a surface's area lies.",
    "assd_surface_mm": "The mean distance over the area of both surfaces taken together.",
    "nsd_surface": "The part of both surfaces' area that lies within the tolerance (at most so far) of the other one.",
    "volume_error_ml": "Prediction minus reference; relative: divided by the reference, undefined where that is empty.",
    "lesions": "Components connected by faces, edges or corners; one is found where it shares a voxel with the other "
    "mask.",
    "lesions_of_all_cases": "Counts summed over the cases. Sensitivity: found / reference. F1: "
    "2 found / (2 found + false + missed).",
    "both_empty": "Every score is undefined; the volume error is 0.",
    "one_empty": "Dice, IoU and NSD are 0; HD95 and ASSD are undefined, never infinite.",
    "ignore": "Voxels that the reference marks as ignored are background in both masks.",
    "spacing": "From the reference's header.",
}
"""Term to the sentence that says what it means here; written into every evaluation."""


@dataclass(frozen=True)
class LabelRule:
    """How one label is measured.

    Attributes:
        values: The voxel values that it covers: one, or several for a region.
        nsd_tolerance_mm: The distance up to which surfaces count as one; above 0.
        counts_lesions: Whether its connected components are found and missed.
    """

    values: tuple[int, ...]
    nsd_tolerance_mm: float = DEFAULT_NSD_TOLERANCE_MM
    counts_lesions: bool = False


@dataclass(frozen=True)
class MetricPolicy:
    """What is measured of a dataset's label images.

    Attributes:
        labels: By label name, in the order of dataset.json; without background and the ignore label, as in nnU-Net.
        voxel_values: Every value that a label image may hold, ascending.
        ignore_value: The value of voxels that nobody annotated; None where there are none.
    """

    labels: Mapping[str, LabelRule]
    voxel_values: tuple[int, ...]
    ignore_value: int | None = None

    @property
    def digest(self) -> str:
        """What names the policy together with the version of the metrics."""
        return self.digest_of_version(METRICS_VERSION)

    def digest_of_version(self, version: int) -> str:
        """Returns the digest as a version of the metrics made it."""
        return json_sha256({"version": version, **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Returns the policy as JSON values."""
        return {
            "labels": {name: {**asdict(rule), "values": list(rule.values)} for name, rule in self.labels.items()},
            "voxel_values": list(self.voxel_values),
            "ignore_value": self.ignore_value,
        }


def metric_policy(
    description: DatasetDescription,
    nsd_tolerance_mm: Mapping[str, float] | None = None,
    lesion_labels: Sequence[str] = (),
) -> MetricPolicy:
    """Returns the policy for a dataset.

    Args:
        description: Its dataset.json.
        nsd_tolerance_mm: By label name; a label that is not in it gets `DEFAULT_NSD_TOLERANCE_MM`.
        lesion_labels: The labels whose connected components are lesions to be found.

    Raises:
        EvaluationError: A label is named that dataset.json does not have, a tolerance is no length, or there is
            nothing to measure.
    """
    tolerances = nsd_tolerance_mm or {}
    unknown = [name for name in (*tolerances, *lesion_labels) if name not in description.foreground]
    if unknown:
        raise EvaluationError(
            f"{first_offenders(list(map(repr, unknown)))} is no label to be evaluated; dataset.json has "
            f"{first_offenders(description.foreground, 20)}. Correct the name in nsd_tolerance_mm or lesion_labels."
        )
    if wrong := [f"{name}: {mm}" for name, mm in tolerances.items() if not (math.isfinite(mm) and mm > 0)]:
        raise EvaluationError(
            f"A tolerance of the surface distance is a length in mm above 0, not {first_offenders(wrong)}."
        )
    if not description.foreground:
        raise EvaluationError("dataset.json names no label but the background, so there is nothing to evaluate.")
    return MetricPolicy(
        labels={
            name: LabelRule(
                values=description.values_of(name),
                nsd_tolerance_mm=float(tolerances.get(name, DEFAULT_NSD_TOLERANCE_MM)),
                counts_lesions=name in lesion_labels,
            )
            for name in description.foreground
        },
        voxel_values=description.voxel_values,
        ignore_value=description.ignore_label,
    )
