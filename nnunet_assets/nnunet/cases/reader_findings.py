"""What there is to say of the reader that nnU-Net takes for a dataset, before any case is read."""

from collections.abc import Iterator, Sequence

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, FILE_ENDINGS, DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.image_reader import BY_ENDING, opens, reader_of_cases, reads_nifti_here, writes


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
    example = next((path for files in cases for path in files.images), None)
    if example and reader and _is_declared(description) and not reads_nifti_here(reader, description.file_ending):
        if not opens(reader, example):
            yield _does_not_open(reader, example.name, description)
        return
    # Capitals: each library has its own view of them, and of some it reads what it does not write.
    ending = description.file_ending
    is_odd = ending not in FILE_ENDINGS
    if example and reader and is_odd and opens(reader, example) and not writes(reader, example, ending):
        yield _does_not_write(reader, ending)
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


def _does_not_open(reader: str, image: str, description: DatasetDescription) -> Finding:
    usual = BY_ENDING.get(description.file_ending.lower(), ())
    remedy = f"Take the key away: nnU-Net then takes {' or '.join(usual)}" if usual else "Name another one"
    message = (
        f"overwrite_image_reader_writer in dataset.json is {reader}, which does not open {image}, the first image. "
        f"{remedy}; or export the image again, if it should."
    )
    return Finding("D079", "error", message, file=DATASET_JSON)


def _does_not_write(reader: str, ending: str) -> Finding:
    small = ending.lower()
    remedy = (
        f'Rename the files to {small}, and write "file_ending": "{small}"'
        if small in FILE_ENDINGS
        else "Convert the files to a format that nnU-Net reads and writes"
    )
    message = (
        f"{reader}, with which nnU-Net reads the images, cannot write predictions whose names end in {ending!r}. "
        f"{remedy}."
    )
    return Finding("D020", "error", message, file=DATASET_JSON)


def _is_declared(description: DatasetDescription) -> bool:
    return str(description.raw.get("overwrite_image_reader_writer", "None")) != "None"
