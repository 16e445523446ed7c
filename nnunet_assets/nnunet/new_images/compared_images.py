"""New images beside each other and beside those that a model was trained on: what only shows when all are known."""

from collections.abc import Iterator, Sequence

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.model.model_description import ExpectedImages
from nnunet_assets.core.model.training_range import intensity_findings, spacing_findings
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.images.case_geometry import Geometry
from nnunet_assets.nnunet.images.nifti import shape_text
from nnunet_assets.nnunet.new_images.resampled_images import PLANE_SPACING_MM
from nnunet_assets.nnunet.raw.cohort_check import doubles


def comparison_findings(facts: Sequence[CaseFacts], expected: ExpectedImages) -> Iterator[Finding]:
    """Yields what stands out, as warnings.

    Args:
        facts: Of each case.
        expected: The images that the model was trained on.
    """
    for fact in facts:
        if fact.geometry:
            yield from _planes(fact.case, fact.geometry, expected)
            yield from _orientation(fact.case, fact.geometry.orientation, expected.orientations)
            yield from spacing_findings(fact.case, fact.geometry.spacing_mm[::-1], expected)
        yield from intensity_findings(fact.case, fact.intensities, expected)
    yield from doubles(facts, ". Is one of them the wrong file?")


def _orientation(case: str, own: str, of_training: Sequence[str]) -> Iterator[Finding]:
    """Yields an image whose axes lead elsewhere than those of every training image; of other axes nothing is said."""
    known = [one for one in of_training if len(one) == len(own)]
    if known and own not in known:
        message = (
            f"Case {case!r} is stored along {own}, and the training images along {' or '.join(known)}. nnU-Net takes "
            "the voxels as they lie in the file, whatever its header says of left and right: the network sees the "
            f"image mirrored or turned, and may take one side for the other. Reorient it to {known[0]}, or look at the "
            "mask with care."
        )
        yield Finding("D081", "warning", message, case)


def _planes(case: str, geometry: Geometry, expected: ExpectedImages) -> Iterator[Finding]:
    """Yields an image of one slice where the model was trained on volumes."""
    are_planes = expected.spacing_low is None or expected.spacing_low[0] >= PLANE_SPACING_MM
    if not are_planes and (len(geometry.shape) < 3 or 1 in geometry.shape):
        message = (
            f"Case {case!r} is one slice ({shape_text(geometry.shape)} voxels), and the model was trained on volumes. "
            "Give it the whole volume, if there is one."
        )
        yield Finding("D072", "warning", message, case)
