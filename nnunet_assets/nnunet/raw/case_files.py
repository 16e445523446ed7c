"""Which files belong to which case of a raw dataset: by name, or by the paths that dataset.json lists.

Looks at names only; what is in the files is for `case_check`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from errno import ELOOP
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, FILE_ENDINGS, DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.droppings import droppings_in, is_dropping, passed_over
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.raw.dataset_entries import Entry, read_entries
from nnunet_assets.processes.variables import CHILD_VARIABLES_VARIABLE

IMAGES = "imagesTr"
LABELS = "labelsTr"
TEST_IMAGES = "imagesTs"
TEST_LABELS = "labelsTs"


def find_cases(
    folder: Path, description: DatasetDescription, variables: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[CaseFiles], list[Finding]]:
    """Returns the training cases, sorted by name, and what is wrong with their file names.

    Args:
        folder: The dataset's.
        description: Its dataset.json.
        variables: What the variables in its entries stand for; a curated dataset has none.

    Raises:
        OSError: A folder cannot be listed.
    """
    if "dataset" in description.raw:
        return _listed_cases(read_entries(folder, description, variables), description)
    return _named_cases(folder, description, IMAGES, LABELS)


def find_test_cases(folder: Path, description: DatasetDescription) -> tuple[list[CaseFiles], list[Finding]]:
    """Returns the test cases, sorted by name, and what is wrong with their file names.

    References are there for all cases or for none: where `labelsTs` is empty or absent, no case is found wanting.

    Raises:
        OSError: A folder cannot be listed.
    """
    cases, findings = _named_cases(folder, description, TEST_IMAGES, TEST_LABELS)
    if all(is_dropping(entry.name) for entry in _entries(folder / TEST_LABELS)):
        return cases, [finding for finding in findings if finding.code != "D026"]
    # A reference without an image is nothing to nnU-Net's training; here it is a case that nobody would predict.
    return cases, [replace(one, severity="error") if one.code == "D027" else one for one in findings]


def find_new_cases(folder: Path, description: DatasetDescription) -> tuple[list[CaseFiles], list[Finding]]:
    """Returns the cases in a folder of images of no dataset, sorted by name, and what is wrong with their names.

    Raises:
        OSError: The folder cannot be listed.
    """
    return _named_cases(folder.parent, description, folder.name, None)


def are_voxels_checked(description: DatasetDescription) -> bool:
    """Whether this package reads the voxels itself: those of NIfTI files."""
    return description.file_ending.lower() in nifti.ENDINGS


def counted_droppings(folder: Path, description: DatasetDescription) -> list[str]:
    """Returns what other systems left among the training images and labels and nnU-Net would count."""
    # There, files are listed one by one.
    if "dataset" in description.raw:
        return []
    return [
        f"{subfolder}/{entry.name}"
        for subfolder in (IMAGES, LABELS)
        for entry in _entries(folder / subfolder)
        if is_dropping(entry.name) and entry.name.endswith(description.file_ending)
    ]


def _listed_cases(entries: Sequence[Entry], description: DatasetDescription) -> tuple[list[CaseFiles], list[Finding]]:
    """Says which of the listed files are there."""
    cases, findings = [], []
    if not entries:
        message = (
            "dataset lists no case in dataset.json. List them, or take the key away: nnU-Net then looks into "
            f"{IMAGES} and {LABELS}."
        )
        findings.append(Finding("D028", "error", message, file=DATASET_JSON))
    for entry in entries:
        case, images, label = entry.case, entry.images, entry.label
        absent = [file for file in (*images, label) if not file.is_file()]
        for file in absent:
            code = "D026" if file == label else "D022"
            message = f"Case {case!r} lists {file} in dataset.json, which is not there. Correct the path or the entry."
            if "$" in str(file):
                message += (
                    " Variables are those of nnU-Net's own processes, with its three folders; "
                    f"{CHILD_VARIABLES_VARIABLE} lets more of yours through."
                )
            findings.append(Finding(code, "error", message, case, str(file)))
        if len(images) != len(description.channel_names) and not _may_hold_all_channels(len(images), description):
            findings.append(_wrong_channels(case, [f"{len(images)} images"], description))
        present = tuple(image for image in images if image not in absent)
        cases.append(CaseFiles(case, present, None if label in absent else label))
    return cases, findings


def _named_cases(
    folder: Path, description: DatasetDescription, images_folder: str, labels_folder: str | None
) -> tuple[list[CaseFiles], list[Finding]]:
    """Pairs `imagesTr/CASE_0000.ENDING`, `_0001` ... with `labelsTr/CASE.ENDING`, where there is to be a label."""
    ending = description.file_ending
    images, findings = _files(folder, images_folder, ending)
    labels, label_findings = _files(folder, labels_folder, ending) if labels_folder else ({}, [])
    findings += [
        *label_findings,
        *_droppings(folder, [images_folder, *([labels_folder] if labels_folder else [])], ending),
    ]
    channels: dict[str, dict[int, Path]] = {}
    for stem, file in images.items():
        if match := re.fullmatch(r"(.+)_(\d{4})", stem, re.DOTALL):
            channels.setdefault(match[1], {})[int(match[2])] = file
        else:
            message = (
                f"{images_folder}/{file.name} has no channel number, by which nnU-Net finds it. "
                f"Rename it to {stem}_0000{ending}."
            )
            findings.append(Finding("D025", "error", message, stem, f"{images_folder}/{file.name}"))
    cases = [
        CaseFiles(case, tuple(files[index] for index in sorted(files)), labels.get(case))
        for case, files in sorted(channels.items())
    ]
    if not images:
        findings += _no_images(folder / images_folder, ending)
    findings += _unpaired(cases, set(labels) - set(images), channels, description, (images_folder, labels_folder))
    return cases, findings


def _files(folder: Path, subfolder: str, ending: str) -> tuple[dict[str, Path], list[Finding]]:
    """Returns the files by their name without the ending, and findings for what only looks like one."""
    files, findings, strays = {}, [], []
    for entry in _entries(folder / subfolder):
        if is_dropping(entry.name):
            continue
        name = f"{subfolder}/{entry.name}"
        stem = entry.name.removesuffix(ending)
        if stem == entry.name:
            if entry.name.lower().endswith(FILE_ENDINGS):
                strays.append(entry.name)
        elif not _is_text(stem):
            findings.append(Finding("D060", "error", _unusable_name(subfolder, entry.name)))
        elif entry.is_symlink() and not Path(entry.path).is_file():
            message = f"{name} is a link to {_target(entry)}. Restore that file or delete the link."
            findings.append(Finding("D052", "error", message, file=name))
        elif not entry.is_symlink() and not entry.is_file():
            message = f"{name} is a folder or a device, which nnU-Net passes over. Put the image itself there."
            findings.append(Finding("D053", "warning", message, file=name))
        else:
            files[stem] = Path(entry.path)
    if files and strays:
        message = (
            f"file_ending is {ending!r}, but {subfolder} also holds {first_offenders(strays)}, which nnU-Net passes "
            "over. Convert or rename them, or take them away."
        )
        findings.append(Finding("D019", "warning", message))
    return files, findings


def _droppings(folder: Path, subfolders: Sequence[str], ending: str) -> Iterator[Finding]:
    """Yields one note on all that other systems left there."""
    if names := droppings_in([folder / one for one in subfolders], ending):
        yield Finding("D059", "warning", passed_over(names, ", also by nnU-Net"))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Returns what a folder holds, by name, without asking the file system about each entry."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_text(name: str) -> bool:
    """Tells whether a name is Unicode without control characters: nothing else can be written into a table or a tag."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable()


def _unusable_name(subfolder: str, name: str) -> str:
    return (
        f"{subfolder} holds a file whose name is not readable text: {name!a}. Rename it; letters, digits, '_', "
        "'-' and '.' work everywhere."
    )


def _target(link: "os.DirEntry[str]") -> str:
    """Returns what is wrong with where a link leads."""
    path = Path(link.path)
    try:
        path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) or error.errno == ELOOP:
            return f"{path.readlink()}, which leads back to itself"
    return f"{path.readlink()}, where no file is"


def _unpaired(
    cases: list[CaseFiles],
    labels: set[str],
    channels: dict[str, dict[int, Path]],
    description: DatasetDescription,
    folders: tuple[str, str | None],
) -> Iterator[Finding]:
    ending, (images_folder, labels_folder) = description.file_ending, folders
    for files in cases:
        case, found = files.case, sorted(channels[files.case])
        wanted = list(range(len(description.channel_names)))
        if found != wanted and not (found == [0] and _may_hold_all_channels(1, description)):
            yield _wrong_channels(case, [f"_{index:04d}" for index in found], description)
        if labels_folder and files.label is None:
            name = f"{labels_folder}/{case}{ending}"
            message = f"Case {case!r} has images, but no label {name}. Add the label, or take the images away."
            yield Finding("D026", "error", message, case, name)
    for case in sorted(labels - set(channels)):
        name = f"{labels_folder}/{case}{ending}"
        message = f"{name} has no image {images_folder}/{case}_0000{ending}; nnU-Net leaves the label unused."
        yield Finding("D027", "warning", message, case, name)


def _may_hold_all_channels(n_files: int, description: DatasetDescription) -> bool:
    # nnU-Net's readers take the colours of one PNG, or the components of one MetaImage, for the channels.
    return n_files == 1 and not are_voxels_checked(description)


def _wrong_channels(case: str, found: list[str], description: DatasetDescription) -> Finding:
    names = description.channel_names
    wanted = ", ".join(f"_{index:04d} ({name})" for index, name in enumerate(names))
    message = (
        f"Case {case!r} has {first_offenders(found)}, but dataset.json declares {len(names)} "
        f"channel{'s' if len(names) > 1 else ''}: {wanted}. Every case needs one file a channel."
    )
    return Finding("D022", "error", message, case)


def _no_images(folder: Path, ending: str) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("D028", "error", f"There is no folder {folder.name}; it must hold the images.")
        return
    names = [entry.name for entry in _entries(folder) if not is_dropping(entry.name)]
    others = {other: sum(name.endswith(other) for name in names) for other in FILE_ENDINGS}
    counts = [f"{count} that end in {other}" for other, count in others.items() if count]
    if counts:
        message = (
            f"file_ending is {ending!r}, but {folder.name} has no such file; it has {first_offenders(counts)}. "
            "Correct file_ending, or convert the files."
        )
        yield Finding("D019", "error", message, file="dataset.json")
    else:
        yield Finding("D028", "error", f"{folder.name} holds no file that ends in {ending}; put the images there.")
