"""The test set of a dataset, looked at before anything is predicted: its cases and all that is wrong with them.

On disk, in `nnUNet_raw/DATASET`: `imagesTs`, named as `imagesTr` is, and `labelsTs` where there are references. No fold
has seen these cases. What was read of them is kept beside what is known of the training cases (see `fact_cache`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding, refuse_errors
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images.image_reader import reader_of_model
from nnunet_assets.nnunet.images.other_formats import file_geometry
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw.case_check import CaseFacts
from nnunet_assets.nnunet.raw.case_files import TEST_IMAGES, TEST_LABELS, find_test_cases
from nnunet_assets.nnunet.raw.case_reading import read_cases
from nnunet_assets.nnunet.raw.fact_cache import FactCache
from nnunet_assets.nnunet.raw.intensity_check import intensity_findings
from nnunet_assets.nnunet.raw.reader_findings import reader_findings


@dataclass(frozen=True)
class CheckedCase:
    """A case that no fold has seen.

    Attributes:
        name: The case's name.
        images: By channel.
        images_hash: Digest of the images' bytes, and of those of the files beside them.
        reference: None where the test set has no references.
    """

    name: str
    images: tuple[Path, ...]
    images_hash: str
    reference: Path | None


@dataclass(frozen=True)
class CheckedTestSet:
    """The test set of a dataset; nothing in it keeps it from being predicted.

    Attributes:
        folder: The raw dataset.
        cases: By name; at least one.
        warnings: What its owner should look at.
    """

    folder: Path
    cases: tuple[CheckedCase, ...]
    warnings: tuple[Finding, ...]

    @property
    def references(self) -> Path | None:
        """The folder of the references; None: there are none, of any case."""
        return self.folder / TEST_LABELS if self.cases[0].reference else None


def read_test_set(
    roots: Roots,
    dataset: str,
    description: DatasetDescription,
    progress: Progress = SILENT,
    model_folder: Path | None = None,
) -> CheckedTestSet:
    """Reads every file of the test set that changed since the last time, and returns its cases.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        description: The dataset.json of the model that is to predict.
        progress: Hears of each case.
        model_folder: Of that model, whose plans name nnU-Net's reader; None: the reader that dataset.json leads to.

    Raises:
        DatasetError: There is no test set, or something is wrong with it: a channel or a reference is missing, a
            reference has no image, or lies elsewhere than its image. All of it is named.
    """
    folder = roots.raw / dataset
    if not (folder / TEST_IMAGES).is_dir():
        raise DatasetError(
            f"There is no test set to predict: {folder / TEST_IMAGES} does not exist. Put the test images there, named "
            f"as in imagesTr, and their references, if there are any, into {folder / TEST_LABELS}; or take `test_set` "
            "out of the experiment."
        )
    try:
        found, findings = find_test_cases(folder, description)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None
    subject = f"The test set of {dataset}"
    # Before the voxels are read, which may take minutes.
    refuse_errors(subject, findings)
    cache = FactCache(PreparedFolder(roots, dataset).intake_folder / "test_case_facts.json")
    reader, of_reader = reader_findings(description, found)
    if model_folder and (of_model := reader_of_model(model_folder)):
        reader, of_reader = of_model, []
    what = "cases of the test set read"
    facts, _ = read_cases(found, folder, description, reader, progress=progress, what=what, cache=cache)
    findings += of_reader
    findings += [_as_of_a_test_case(finding) for fact in facts for finding in fact.findings]
    findings += [
        finding for files, fact in zip(found, facts, strict=True) for finding in _far_apart(files, fact, str(reader))
    ]
    # The model's own statistics normalize a CT: what lies in a reference decides nothing.
    unlabelled = [replace(fact, voxels_by_value=None) for fact in facts]
    findings += intensity_findings(found, unlabelled, folder, description)
    refuse_errors(subject, findings)
    return CheckedTestSet(folder, tuple(_checked_cases(found, facts)), tuple(findings))


def _checked_cases(found: Sequence[CaseFiles], facts: Sequence[CaseFacts]) -> Iterator[CheckedCase]:
    for files, fact in zip(found, facts, strict=True):
        beside = [[of, sha256] for of, _, sha256 in fact.companions if sha256 and of != "label"]
        digests = [*fact.image_sha256, *([beside] if beside else [])]
        yield CheckedCase(files.case, files.images, json_sha256(digests), files.label)


def _as_of_a_test_case(finding: Finding) -> Finding:
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
