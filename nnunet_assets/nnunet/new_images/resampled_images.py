"""What becomes of new images when nnU-Net resamples them to the voxels that a model sees, known before it does.

A header in other units makes of a usual image one of terabytes, or of nothing; nnU-Net would find out in the middle.
"""

from collections.abc import Iterator, Sequence
from math import prod

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.model.package_layout import PLANS_FILE
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.images.case_geometry import Geometry
from nnunet_assets.nnunet.images.nifti import shape_text
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.processes.machine.memory import memory_bytes

PLANE_SPACING_MM = 999.0
"""What nnU-Net's readers take for the third axis of an image that has two, at the least."""

CROPPED_AWAY = 10
"""Blank margins go before an image is resampled: only what is still too large by so much is refused, else warned of."""


def resampled_findings(
    facts: Sequence[CaseFacts], members: Sequence[Member], n_channels: int, n_labels: int
) -> Iterator[Finding]:
    """Yields images that the memory cannot hold once they are resampled, and those of which nothing is left.

    Args:
        facts: Of each case.
        members: Of the model, whose plans say what is resampled to.
        n_channels: Of an image.
        n_labels: The background included.
    """
    # The image and its logits, with 32 and 16 bits: what nnU-Net holds at the least.
    voxel_bytes, most = 4 * n_channels + 2 * n_labels, memory_bytes()
    for member in members:
        plans = Plans.read(member.folder / PLANS_FILE)
        plan = plans.configurations.get(member.experiment.configuration, {})
        if not (plan.get("spacing") and (plans.content or {}).get("transpose_forward")):
            continue
        of, order = member.experiment.configuration, (plans.content or {})["transpose_forward"]
        for case, geometry in [(fact.case, fact.geometry) for fact in facts if fact.geometry]:
            shape = _resampled(geometry, plan["spacing"], order)
            n_bytes = prod(shape) * voxel_bytes
            if not all(shape):
                yield _finding(case, geometry, f"{of} makes no voxel of them", is_error=True)
            elif n_bytes > most:
                takes = (
                    f"{of} makes {shape_text(tuple(shape))} of them, which take {n_bytes / 1e9:.3g} GB of memory at "
                    f"least, and there are {most / 1e9:.3g} GB"
                )
                yield _finding(case, geometry, takes, is_error=n_bytes > CROPPED_AWAY * most)
    # A stage before sees the same images.
    stages = [member.previous for member in members if member.previous]
    if stages:
        yield from resampled_findings(facts, stages, n_channels, n_labels)


def _resampled(geometry: Geometry, target_mm: Sequence[float], order: Sequence[int]) -> list[int]:
    """Returns how many voxels nnU-Net makes along each of its axes; in 2D the slices stay."""
    missing = 3 - len(geometry.shape)
    shape = [*[1] * missing, *geometry.shape[::-1]]
    spacing_mm = [*[PLANE_SPACING_MM] * missing, *geometry.spacing_mm[::-1]]
    first = len(shape) - len(target_mm)
    return [
        shape[axis] if n < first else round(spacing_mm[axis] / target_mm[n - first] * shape[axis])
        for n, axis in enumerate(order)
    ]


def _finding(case: str, geometry: Geometry, consequence: str, *, is_error: bool) -> Finding:
    mm = " × ".join(f"{one:.4g}" for one in geometry.spacing_mm)
    message = (
        f"Case {case!r} has {shape_text(geometry.shape)} voxels of {mm} mm, and {consequence}. Look whether its header "
        "is right, and in mm; crop or resample the image, or leave it out."
    )
    return Finding("D082", "error" if is_error else "warning", message, case, geometry.name)
