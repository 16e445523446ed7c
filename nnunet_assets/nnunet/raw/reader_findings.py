"""What there is to say of the reader that nnU-Net takes for a dataset, before any case is read."""

from collections.abc import Iterator, Sequence

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.image_reader import BY_ENDING, reader_of_cases


def reader_findings(
    description: DatasetDescription, cases: Sequence[CaseFiles], trusted: frozenset[str] = frozenset()
) -> tuple[str | None, list[Finding]]:
    """Returns nnU-Net's reader of a dataset, and what its owner should know about the choice.

    Where none opens the first image it is the first for the ending, so that each case's fault is named.
    """
    reader = reader_of_cases(description, cases, trusted)
    usual = next(iter(BY_ENDING.get(description.file_ending.lower(), ())), None)
    return reader or usual, list(_findings(reader, usual, description, cases))


def _findings(
    reader: str | None, usual: str | None, description: DatasetDescription, cases: Sequence[CaseFiles]
) -> Iterator[Finding]:
    if not cases or usual is None:
        return
    first, image = cases[0].case, next((path.name for path in cases[0].images), "")
    is_nifti = description.file_ending.lower() in nifti.ENDINGS
    if reader is None and not is_nifti:
        message = (
            f"{image}, the first image, is opened by none of nnU-Net's readers for {description.file_ending}: "
            f"{', '.join(BY_ENDING[description.file_ending.lower()])}. Copy or export it again."
        )
        yield Finding("D045", "error", message, first)
    elif reader not in (None, usual) and is_nifti and not _is_declared(description):
        message = (
            f"{image}, the first image, has a header that {usual} refuses, so nnU-Net reads the whole dataset by "
            f'{reader}. Resample the image; or say that this is meant: "overwrite_image_reader_writer": "{reader}" in '
            "dataset.json."
        )
        yield Finding("D045", "warning", message, first)


def _is_declared(description: DatasetDescription) -> bool:
    return str(description.raw.get("overwrite_image_reader_writer", "None")) != "None"
