"""The test set of a dataset, looked at before anything is predicted: its cases and all that is wrong with them.

On disk, in `nnUNet_raw/DATASET`: `imagesTs`, named as `imagesTr` is, and `labelsTs` where there are references. No fold
has seen these cases. What was read of them is kept beside what is known of the training cases (see `fact_cache`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset_json import DatasetDescription
from nnunet_assets.core.findings import Finding, refuse_errors
from nnunet_assets.core.layout import Roots
from nnunet_assets.core.provenance import json_sha256
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.case_check import CaseFacts
from nnunet_assets.nnunet.case_files import TEST_IMAGES, TEST_LABELS, CaseFiles, find_test_cases
from nnunet_assets.nnunet.case_geometry import Geometry, geometry_of
from nnunet_assets.nnunet.case_reading import OnProgress, read_cases
from nnunet_assets.nnunet.fact_cache import FactCache
from nnunet_assets.nnunet.nifti import read_volume
from nnunet_assets.nnunet.prepared import PreparedDataset


@dataclass(frozen=True)
class HeldOutCase:
    """A case that no fold has seen.

    Attributes:
        name: The case's name.
        images: By channel.
        images_hash: Digest of the images' bytes.
        reference: None where the test set has no references.
    """

    name: str
    images: tuple[Path, ...]
    images_hash: str
    reference: Path | None


@dataclass(frozen=True)
class HeldOutCases:
    """The test set of a dataset; nothing in it keeps it from being predicted.

    Attributes:
        folder: The raw dataset.
        cases: By name; at least one.
        warnings: What its owner should look at.
    """

    folder: Path
    cases: tuple[HeldOutCase, ...]
    warnings: tuple[Finding, ...]

    @property
    def references(self) -> Path | None:
        """The folder of the references; None: there are none, of any case."""
        return self.folder / TEST_LABELS if self.cases[0].reference else None


def read_held_out(
    roots: Roots, dataset: str, description: DatasetDescription, on_progress: OnProgress | None = None
) -> HeldOutCases:
    """Reads every file of the test set that changed since the last time, and returns its cases.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        description: The dataset.json of the model that is to predict.
        on_progress: Told about each case; None: nobody is.

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
    cache = FactCache(PreparedDataset(roots, dataset).intake_folder / "test_case_facts.json")
    facts, _ = read_cases(found, folder, description, on_progress, cache)
    findings += [finding for fact in facts for finding in fact.findings]
    findings += [finding for files, fact in zip(found, facts, strict=True) for finding in _far_apart(files, fact)]
    refuse_errors(subject, findings)
    return HeldOutCases(folder, tuple(_held_out_cases(found, facts)), tuple(findings))


def _held_out_cases(found: Sequence[CaseFiles], facts: Sequence[CaseFacts]) -> Iterator[HeldOutCase]:
    for files, fact in zip(found, facts, strict=True):
        yield HeldOutCase(files.case, files.images, json_sha256(list(fact.image_sha256)), files.label)


def _far_apart(files: CaseFiles, facts: CaseFacts) -> Iterator[Finding]:
    """Yields a reference that lies too far from its image for the evaluation, which a prediction would only show later.

    nnU-Net trains on such a case all the same, so for training cases the check only warns (D043).
    """
    if files.label is None or not any(finding.code == "D043" for finding in facts.findings):
        return
    image, reference = (_geometry(path) for path in (files.images[0], files.label))
    distance_mm = float(np.linalg.norm(image.corners_mm - reference.corners_mm, axis=1).max())
    if distance_mm > min(reference.spacing_mm) / 2:
        message = (
            f"Case {files.case!r}: by their headers its reference lies {distance_mm:.3g} mm from its image, more than "
            "half a voxel, so that they cannot be compared. Correct the header that is wrong."
        )
        yield Finding("D043", "error", message, files.case, files.label.name)


def _geometry(path: Path) -> Geometry:
    return geometry_of(read_volume(path), path.name)
