"""Images that no fold has seen, looked at before anything is predicted: all that is wrong with them.

What keeps an image from being predicted is named for all images at once; anything else is a warning.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding, refuse_errors
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.cases.case_reading import read_cases
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.cases.intensity_check import intensity_findings
from nnunet_assets.nnunet.cases.reader_findings import reader_findings
from nnunet_assets.nnunet.images.image_reader import reader_of_model
from nnunet_assets.nnunet.images.other_formats import file_geometry


@dataclass(frozen=True)
class CheckedCase:
    """A case that no fold has seen.

    Attributes:
        name: The case's name.
        images: By channel.
        images_hash: Digest of the images' bytes, and of those of the files beside them.
        reference: None where there is none.
    """

    name: str
    images: tuple[Path, ...]
    images_hash: str
    reference: Path | None


@dataclass(frozen=True)
class CheckedImages:
    """Images; nothing in them keeps them from being predicted.

    Attributes:
        cases: By name.
        facts: What is known of each, in the same order.
        warnings: What somebody should look at.
        reader: nnU-Net's, that reads them; None: none was found.
    """

    cases: tuple[CheckedCase, ...]
    facts: tuple[CaseFacts, ...]
    warnings: tuple[Finding, ...]
    reader: str | None


def check_images(
    subject: str,
    found: Sequence[CaseFiles],
    findings: Sequence[Finding],
    folder: Path,
    description: DatasetDescription,
    *,
    model_folder: Path | None,
    cache: FactCache | None,
    what: str,
    progress: Progress = SILENT,
    trusted: frozenset[str] = frozenset(),
    further: Callable[[str | None], Iterable[Finding]] = lambda _: (),
) -> CheckedImages:
    """Reads every image that is not known to be as it was.

    Args:
        subject: What is looked at, the first words of a refusal.
        found: The cases.
        findings: What is wrong with their names.
        folder: To which names in messages are relative.
        description: The dataset.json of the model that is to predict.
        model_folder: Of that model, whose plans name nnU-Net's reader; None: the reader that dataset.json leads to.
        cache: What is known from before; None: every image is read.
        what: What is counted, as in `Progress.step`.
        progress: Hears of each case.
        trusted: What the user names of code beside nnU-Net's.
        further: Takes the reader, and returns what else is wrong with the names.

    Raises:
        DatasetError: Something is wrong with them. All of it is named.
    """
    # Before the voxels are read, which may take minutes.
    refuse_errors(subject, findings)
    reader, of_reader = reader_findings(description, found, trusted)
    if model_folder and (of_model := reader_of_model(model_folder, trusted)):
        reader, of_reader = of_model, []
    named = [*findings, *further(reader)]
    refuse_errors(subject, named)
    facts, _ = read_cases(found, folder, description, reader, progress=progress, what=what, cache=cache)
    all_findings = [*named, *of_reader]
    all_findings += [_as_of_an_unseen_case(finding) for fact in facts for finding in fact.findings]
    all_findings += [
        finding for files, fact in zip(found, facts, strict=True) for finding in _far_apart(files, fact, str(reader))
    ]
    # The model's own statistics normalize a CT: what lies in a reference decides nothing.
    unlabelled = [replace(fact, voxels_by_value=None) for fact in facts]
    all_findings += intensity_findings(found, unlabelled, folder, description)
    refuse_errors(subject, all_findings)
    return CheckedImages(tuple(_checked_cases(found, facts)), tuple(facts), tuple(all_findings), reader)


def _checked_cases(found: Sequence[CaseFiles], facts: Sequence[CaseFacts]) -> Iterator[CheckedCase]:
    for files, fact in zip(found, facts, strict=True):
        beside = [[of, sha256] for of, _, sha256 in fact.companions if sha256 and of != "label"]
        digests = [*fact.image_sha256, *([beside] if beside else [])]
        yield CheckedCase(files.case, files.images, json_sha256(digests), files.label)


def _as_of_an_unseen_case(finding: Finding) -> Finding:
    """Returns a finding with the weight that it has here: nothing is learnt from files that lie a little apart."""
    return replace(finding, severity="warning") if finding.code == "D043" else finding


def _far_apart(files: CaseFiles, facts: CaseFacts, reader: str) -> Iterator[Finding]:
    """Yields a reference too far from its image for the evaluation, which a prediction would only show later."""
    if files.label is None or not any(finding.code == "D043" for finding in facts.findings):
        return
    image, reference = (file_geometry(path, reader) for path in (files.images[0], files.label))
    if image is None or reference is None:
        return
    distance_mm = float(np.linalg.norm(image.corners_mm - reference.corners_mm, axis=1).max())
    if distance_mm > min(reference.spacing_mm) / 2:
        message = (
            f"Case {files.case!r}: by their headers its reference lies {distance_mm:.3g} mm from its image, more than "
            "half a voxel, so that they cannot be compared. Correct the header that is wrong."
        )
        yield Finding("D043", "error", message, files.case, files.label.name)
