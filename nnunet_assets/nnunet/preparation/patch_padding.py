"""Whether any case fills the planned patch: what a case lacks, nnU-Net pads, in training and in validation alike.

Its planner cuts the patch to the median case and rounds it up so that the network can halve it: by a quarter of an axis
at most. A patch that is much larger comes from plans for other images, or from images that came in smaller than meant.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intake import CaseRow
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.nnunet.plans.plan_card import by_axis
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder

MOSTLY_PADDING = 0.5
"""Where the largest case fills less of the patch, no rounding of nnU-Net's planner made it so."""


@dataclass(frozen=True)
class Padding:
    """A patch that is larger than every case.

    Attributes:
        plans: Plans identifier.
        configuration: Of the plans.
        patch: Voxels by axis, in nnU-Net's order.
        largest: Of the largest case at the configuration's spacing, likewise.
        n_cases: How many cases there are.
    """

    plans: str
    configuration: str
    patch: tuple[int, ...]
    largest: tuple[int, ...]
    n_cases: int

    @property
    def filled(self) -> float:
        """The part of the patch that the largest case fills."""
        return math.prod(self.largest) / math.prod(self.patch)

    def __str__(self) -> str:
        which = "The only case is" if self.n_cases == 1 else f"Each of {self.n_cases} cases is"
        numbers = (
            f"{which} smaller than the patch of {self.plans}, {self.configuration} ({by_axis(self.patch)} voxels): the "
            f"largest has {by_axis(self.largest)} at its spacing and fills {self.filled:.0%}, the rest is padding."
        )
        if self.filled >= MOSTLY_PADDING:
            return f"{numbers} So much comes of rounding the patch up for the network."
        return (
            f"{numbers} nnU-Net's planner rounds up by less. Were the images cut or resampled by mistake, or the plans "
            "made for others? A smaller patch_size, in plans of your own, costs less memory and time."
        )


def padding_of(
    plan: Mapping[str, Any], sizes: Sequence[tuple[Sequence[float], Sequence[float]]], transpose: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Returns the patch and the largest case in voxels; None: a case fills or exceeds it, or its sizes are not known.

    Args:
        plan: Of a configuration, with `patch_size` and `spacing`.
        sizes: By case, its shape and its spacing in mm, axes as nnU-Net's reader has them (Z, Y, X).
        transpose: `transpose_forward` of the plans.
    """
    patch, spacing = (_lengths(plan.get(key)) for key in ("patch_size", "spacing"))
    if not patch or len(patch) != len(spacing) or sorted(transpose) != [0, 1, 2]:
        return None
    axes = transpose[-len(patch) :]  # of a 2D configuration the last two: what lies across is not resampled
    if not sizes or any(len(shape) != 3 or len(mm) != 3 for shape, mm in sizes):
        return None
    found = [
        tuple(round(shape[axis] * mm[axis] / target) for axis, target in zip(axes, spacing, strict=True))
        for shape, mm in sizes
    ]
    if any(n > wanted for shape in found for n, wanted in zip(shape, patch, strict=True)) or patch in found:
        return None
    return tuple(int(n) for n in patch), max(found, key=math.prod)


def _three(along_xyz: Sequence[float]) -> tuple[float, ...]:
    """Returns numbers along Z, Y and X; nnU-Net gives an image of two axes a third one, of one voxel."""
    return (*[1] * (3 - len(along_xyz)), *along_xyz[::-1])


def _lengths(values: Any) -> tuple[float, ...]:
    """Returns numbers above 0; none where they are not, as a plans file of somebody's own may have it."""
    numbers = values if isinstance(values, list) else []
    is_right = all(type(value) in (int, float) and 0 < value < math.inf for value in numbers)
    return tuple(numbers) if is_right else ()


def padding(prepared: PreparedFolder, plans: Plans, configuration: str) -> Padding | None:
    """Returns by how much the patch is larger than every case as nnU-Net cropped it; None: it is not."""
    fingerprint = read_json(prepared.folder / "dataset_fingerprint.json") or {}
    shapes, spacings = fingerprint.get("shapes_after_crop", []), fingerprint.get("spacings", [])
    return _padding(plans, configuration, list(zip(shapes, spacings, strict=False)))


def padding_findings(prepared: PreparedFolder, rows: Sequence[CaseRow]) -> list[Finding]:
    """Returns a warning for each configuration of plans that are there whose patch is mostly padding in every case.

    Args:
        prepared: The dataset.
        rows: Its cases as they were found, whenever the plans were made.
    """
    sizes = [(_three(row.shape), _three(row.spacing_mm)) for row in rows if row.shape and row.spacing_mm]
    if len(sizes) < len(rows):
        return []
    found = [
        _padding(plans, configuration, sizes)
        for plans in prepared.plans_on_disk()
        for configuration in plans.configurations
    ]
    return [Finding("D071", "warning", str(one)) for one in found if one and one.filled < MOSTLY_PADDING]


def _padding(
    plans: Plans, configuration: str, sizes: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> Padding | None:
    transpose = (plans.content or {}).get("transpose_forward")
    plan = plans.configurations.get(configuration, {})
    found = padding_of(plan, sizes, transpose if isinstance(transpose, list) else ())
    return Padding(plans.name, configuration, *found, len(sizes)) if found else None
