"""New images beside each other and beside those that a model was trained on: what only shows when all are known."""

from collections.abc import Iterator, Sequence

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.model.model_description import ExpectedImages
from nnunet_assets.core.model.training_range import intensity_findings, spacing_findings
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.raw.case_check import CaseFacts
from nnunet_assets.nnunet.raw.cohort_check import image_digests


def comparison_findings(facts: Sequence[CaseFacts], expected: ExpectedImages) -> Iterator[Finding]:
    """Yields what stands out, as warnings.

    Args:
        facts: Of each case.
        expected: The images that the model was trained on.
    """
    for fact in facts:
        if fact.geometry:
            yield from spacing_findings(fact.case, fact.geometry.spacing_mm[::-1], expected)
        yield from intensity_findings(fact.case, fact.intensities, expected)
    yield from _doubles(facts)


def _doubles(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields cases with the same image under two names, and channels of a case that are the same."""
    owners: dict[str, list[str]] = {}
    for fact in facts:
        for digest in image_digests(fact):
            if digest:
                owners.setdefault(digest, []).append(fact.case)
    reported = set()
    for cases in owners.values():
        names = tuple(dict.fromkeys(cases))
        if len(cases) == 1 or names in reported:
            continue
        reported.add(names)
        if len(names) == 1:
            message = f"Two channels of case {names[0]!r} hold the same voxels. Put the right image in place of one."
        else:
            message = (
                f"The cases {first_offenders(names)} have the same image, voxel for voxel. Is one of them the wrong "
                "file?"
            )
        yield Finding("D054", "warning", message, names[0])
