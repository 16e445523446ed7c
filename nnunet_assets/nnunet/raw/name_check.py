"""Names of cases that no later file can bear: those that nnU-Net's own files collide with, and those that are too long.

A case keeps its name on all its way: preprocessed, as a reference, as a prediction.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nnunet_assets.core.dataset.findings import Finding, refuse_errors
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.images.image_reader import BY_ENDING, TIFF_READER
from nnunet_assets.nnunet.images.reader_placement import ITK_READERS

LABEL_SUFFIX = "_seg"
"""nnU-Net keeps the label of a preprocessed case as `CASE_seg.b2nd`, and passes over what is named so for a case."""

OF_FOLDERS = ("dataset", "plans", "predict_from_raw_data_args", "summary")
"""The JSON files that nnU-Net writes beside predictions, where a 3D TIFF has its spacing in `CASE.json`."""

_NIFTI_ENDING = re.compile(r"\.(nii|hdr|img|nia)(\.gz)?$", re.IGNORECASE)
"""What ITK takes for the ending of a file that is to be written, whatever follows it."""

_PREPROCESSED = (f"{LABEL_SUFFIX}.b2nd", ".making")
"""What a case is called while it is preprocessed, by nnU-Net and by this package."""


def clashing_names(cases: Sequence[str], file_ending: str, reader: str | None) -> Iterator[Finding]:
    """Yields the cases whose files nnU-Net would take for others, or write under another name.

    Args:
        cases: Their names.
        file_ending: Of images and predictions.
        reader: nnU-Net's, which writes predictions too.
    """
    for case in cases:
        if case.endswith(LABEL_SUFFIX):
            message = (
                f"Case {case!r} ends in {LABEL_SUFFIX}, by which nnU-Net marks the label images of its preprocessed "
                "cases: it would pass over this one in training, or take it for the label of another. Rename its files."
            )
            yield Finding("D057", "error", message, case)
        elif reader in ITK_READERS and file_ending == ".nii.gz" and (ending := _NIFTI_ENDING.search(case)):
            message = (
                f"Case {case!r} ends in {ending[0]}, as NIfTI files do: ITK would write the prediction {case}.nii.gz "
                "under another name, with a part of it cut off. Rename its files."
            )
            yield Finding("D057", "error", message, case)
        elif reader == TIFF_READER and case in OF_FOLDERS:
            message = (
                f"Case {case!r} has its spacing in {case}.json, and so has its prediction, beside which nnU-Net writes "
                "a file of its own of that name. Rename its files."
            )
            yield Finding("D057", "error", message, case)


def refuse_clashing(source: Path, cases: Sequence[str], file_ending: str) -> None:
    """Passes where a new dataset's cases have names that nnU-Net takes for no others.

    Raises:
        DatasetError: One has not; better said before its files are brought than after.
    """
    usual = next(iter(BY_ENDING.get(file_ending.lower(), ())), None)
    refuse_errors(str(source), list(clashing_names(cases, file_ending, usual)))


def long_names(cases: Sequence[str], file_ending: str, folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Yields the cases of which a later file's name is longer than its file system takes.

    Args:
        cases: Their names.
        file_ending: Of images and predictions.
        folders: Where these files go, by the variable that says so; they need not be there.
    """
    limits = {variable: _longest_name(folder) for variable, folder in folders.items()}
    variable, most = min(limits.items(), key=lambda item: item[1])
    # A reference has a dot before its name while it is copied.
    longest = max((*_PREPROCESSED, f".{file_ending}"), key=len)
    for case in cases:
        n_bytes = len(os.fsencode(case + longest))
        if n_bytes > most:
            later = first_offenders([f"{case[:20]}...{longest}"])
            message = (
                f"Case {case!r} gets files with names of {n_bytes} bytes ({later}), and the disk of {variable} takes "
                f"{most}. Give it a name that is shorter by {n_bytes - most} or more; letters beyond ASCII count two "
                "to four."
            )
            yield Finding("D058", "error", message, case)


def _longest_name(folder: Path) -> int:
    """Returns the bytes that a file's name may have there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.pathconf(there, "PC_NAME_MAX")
