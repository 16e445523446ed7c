"""A raw dataset without its quarantined cases and with headers put right: made beside, never in nnUNet_raw.

A split that lies beside the raw data is left out, too: nnU-Net's planner would copy it to where `splits` writes. And so
is whatever nnU-Net would read otherwise: a byte order mark, no `numTraining`, files that other systems left, variables
in paths.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/raw/DIGEST/DATASET/`: `dataset.json`, complete, whose `dataset`
entries name the original files or repaired copies; `repaired/`, these copies; `curation.json`, what was left out and
why. `raw/DIGEST` serves nnU-Net as its `nnUNet_raw`. It is whole or absent and never changed; the record of the raw
dataset (`raw.json`) says which one counts, so an interruption leaves the one before.
"""

import difflib
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.dataset_json import (
    DATASET_JSON,
    DatasetDescription,
    has_byte_order_mark,
    parse_dataset_json,
)
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE, check_splits
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images.image_reader import reader_of_cases, reads_nifti_here
from nnunet_assets.nnunet.preparation.curation_file import CURATION_FILE, UNDO, case_of, read_curation
from nnunet_assets.nnunet.preparation.patch_padding import padding_findings
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curation_of, former_raw, write_raw
from nnunet_assets.nnunet.raw.case_files import IMAGES, LABELS, are_voxels_checked, counted_droppings, find_cases
from nnunet_assets.nnunet.raw.dataset_entries import has_variables, read_entries, refuse_outside
from nnunet_assets.nnunet.raw.header_repair import HeaderRepair, all_header_repairs
from nnunet_assets.nnunet.raw.name_check import long_names
from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset, shared_id
from nnunet_assets.nnunet.raw.raw_root import dataset_folder
from nnunet_assets.settings import trusted_code

_OF_FILE_NAMES = ("D022", "D026")
"""What is found of the names in nnUNet_raw, and again of the entries that were made of them."""


@dataclass(frozen=True)
class CuratedDataset:
    """A raw dataset as it is used.

    Attributes:
        raw_root: What nnU-Net gets as `nnUNet_raw`: the user's own, where nothing is left out or repaired.
        splits_sha256: Of the split that lies beside the raw data; empty: there is none.
        digest: Name of the folder in `.nnunet_assets/raw`; empty: the user's own nnUNet_raw is used.
        quarantined: Case to the reason why it is left out.
        repairs: The files that are copies with another header.
        findings: What is wrong with names in nnUNet_raw, but for those of cases that are left out; a split beside them.
    """

    raw_root: Path
    splits_sha256: str = ""
    digest: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    repairs: tuple[HeaderRepair, ...] = ()
    findings: tuple[Finding, ...] = ()


def look_at_raw_data(
    roots: Roots,
    dataset: str,
    n_folds: int,
    declared: Curation,
    progress: Progress = SILENT,
    *,
    cache: FactCache | None = None,
    takes_split: bool = True,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[RawDataset, CuratedDataset]:
    """Curates a raw dataset, reads every file of it once, and records what was found for those who come after.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        n_folds: Folds of the cross-validation.
        declared: What the project declares; what `nnunet-assets check --fix` wrote is added.
        progress: Hears of each case.
        cache: As for `inspect_raw_dataset`.
        takes_split: Whether a split that lies beside the raw data is the one that counts.
        variables: The environment of nnU-Net's processes, by which the entries of dataset.json are read; its three
            folders are added.

    Raises:
        DatasetError: As `curate` and `inspect_raw_dataset`.
    """
    prepared = PreparedFolder(roots, dataset)
    curated = curate(roots, dataset, declared.over(read_curation(prepared)), variables)
    found = inspect_raw_dataset(
        curated.raw_root,
        dataset,
        n_folds,
        progress,
        cache,
        former=former_raw(prepared),
        trusted=trusted_code(variables),
    )
    if curated.digest:
        left = (finding for finding in found.findings if finding.code not in _OF_FILE_NAMES)
        found = replace(found, folder=roots.raw / dataset, findings=(*curated.findings, *left))
    split = roots.raw / dataset / SPLITS_FILE
    later = {"nnUNet_preprocessed": roots.preprocessed, "nnUNet_results": roots.results}
    found = replace(
        found,
        findings=(
            *found.findings,
            *long_names(found.cases, found.description.file_ending, later),
            *(_split_misfits(split, found.cases, n_folds) if takes_split and split.exists() and found.cases else ()),
            *padding_findings(prepared, found.rows),
        ),
    )
    before = curation_of(prepared)
    write_raw(prepared, replace(found.record, curation=curated.digest))
    # The one before may still be read by a planning that runs.
    _remove_others(prepared, {curated.digest, before})
    return found, curated


def curate(
    roots: Roots, dataset: str, curation: Curation, variables: Mapping[str, str] = MappingProxyType({})
) -> CuratedDataset:
    """Makes the raw root in which quarantined cases are left out and headers put right; reads headers only.

    Returns:
        The user's own nnUNet_raw where there is nothing to leave out, no split either, nothing to repair, and nothing
        that nnU-Net would read otherwise.

    Raises:
        DatasetError: There is no such dataset, its dataset.json is wrong or lists files that may not be read, a
            quarantined case does not exist, no case is left, or headers cannot be repaired in this format.
    """
    folder = dataset_folder(roots.raw, dataset)
    description = parse_dataset_json(folder / DATASET_JSON)
    environment = {**variables, **roots.environment()}
    if "dataset" in description.raw:
        entries = read_entries(folder, description, environment)
        wanted = [entry for entry in entries if entry.case not in curation.quarantine]
        refuse_outside(wanted, folder, roots.raw, [Path(one) for one in curation.files_from])
    try:
        cases, findings = find_cases(folder, description, environment)
        is_read_otherwise = _is_read_otherwise(folder, description)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None
    known = [files.case for files in cases] + [case_of(f, description.file_ending) or "" for f in findings]
    _refuse_unknown(curation, known, folder)
    left = [files for files in cases if files.case not in curation.quarantine]
    if cases and not left:
        raise DatasetError(f"All {len(cases)} cases of {dataset} are in quarantine, so none is left. {_TAKE_OUT}")
    repairs = _repairs(left, description, curation, trusted_code(variables))
    split = folder / SPLITS_FILE
    if not (curation.quarantine or repairs or split.exists() or is_read_otherwise):
        return CuratedDataset(roots.raw)
    findings = [f for f in findings if case_of(f, description.file_ending) not in curation.quarantine]
    names = _names_of_copies(left, description, repairs)
    content = _description(folder, description, left, {len(cases), len(left) + len(curation.quarantine)}, names)
    root = _write(PreparedFolder(roots, dataset), content, curation, {names[r.file]: r for r in repairs})
    return CuratedDataset(
        raw_root=root,
        splits_sha256=file_sha256(split) if split.exists() else "",
        digest=root.name,
        quarantined=dict(curation.quarantine),
        repairs=repairs,
        findings=(
            *shared_id(roots.raw, dataset),
            *findings,
            *([_split_found(split)] if split.exists() else []),
            *([_mark_found(folder)] if has_byte_order_mark(folder / DATASET_JSON) else []),
            *([_number_missing(folder, len(left))] if description.n_training is None else []),
        ),
    )


def _is_read_otherwise(folder: Path, description: DatasetDescription) -> bool:
    """Tells whether nnU-Net would take another file of this dataset than is taken here, or none at all."""
    return (
        has_byte_order_mark(folder / DATASET_JSON)
        or description.n_training is None
        or bool(counted_droppings(folder, description))
        or ("dataset" in description.raw and has_variables(description))
    )


def _mark_found(folder: Path) -> Finding:
    message = (
        f"{folder / DATASET_JSON} begins with a byte order mark, at which nnU-Net stops; it gets a copy without it. "
        "Save the file as UTF-8 without one to be rid of this."
    )
    return Finding("D005", "warning", message, file=DATASET_JSON)


def _number_missing(folder: Path, n_cases: int) -> Finding:
    message = (
        f"{folder / DATASET_JSON} has no numTraining, without which nnU-Net does not plan; it gets a copy with the "
        f'number that was found. If these are all, write "numTraining": {n_cases} to be rid of this.'
    )
    return Finding("D016", "warning", message, file=DATASET_JSON)


def _split_misfits(split: Path, cases: Sequence[str], n_folds: int) -> Iterator[Finding]:
    """Yields why a split beside the raw data would be refused."""
    try:
        check_splits(read_splits(split.parent), cases, n_folds, split)
    except DatasetError as error:
        message = f"{error}\nCorrect the file, or move it away to have the split made."
        yield Finding("D075", "error", message, file=split.name)


def _split_found(split: Path) -> Finding:
    message = (
        f"{split} is a split of your own, which `splits` takes where nothing else is declared. nnU-Net's planner does "
        "not see it. To have the split made, move the file away."
    )
    return Finding("D074", "warning", message, file=split.name)


_TAKE_OUT = f"Take it out of `quarantine` in the YAML, or {UNDO} where that put it there."


def _refuse_unknown(curation: Curation, known: Sequence[str], folder: Path) -> None:
    unknown = [case for case in curation.quarantine if case not in known]
    if unknown:
        close = [match for case in unknown for match in difflib.get_close_matches(case, known, n=1)]
        raise DatasetError(
            f"{first_offenders([repr(case) for case in unknown])} in quarantine: there is no such case in {folder}."
            f"{f' Did you mean {first_offenders(close)}?' if close else ''} {_TAKE_OUT}"
        )


def _repairs(
    cases: Sequence[CaseFiles], description: DatasetDescription, curation: Curation, trusted: frozenset[str]
) -> tuple[HeaderRepair, ...]:
    if curation.repair_headers_mm is None:
        return ()
    if not are_voxels_checked(description):
        raise DatasetError(
            f"repair_headers_mm is set, but the images end in {description.file_ending}, and only headers of NIfTI "
            "files (.nii.gz, .nii) can be repaired. Take repair_headers_mm away, or convert the images."
        )
    reader = reader_of_cases(description, cases, trusted)
    if not reads_nifti_here(reader, description.file_ending):
        return ()
    return all_header_repairs(cases, curation.repair_headers_mm, str(reader))


def _names_of_copies(
    cases: Sequence[CaseFiles], description: DatasetDescription, repairs: Sequence[HeaderRepair]
) -> dict[Path, str]:
    """Returns the files to be copied and where the copies go, relative to the dataset's folder."""
    wanted = {repair.file for repair in repairs}
    names = {}
    for files in cases:
        for channel, image in enumerate(files.images):
            names[image] = f"{IMAGES}/{files.case}_{channel:04d}{description.file_ending}"
        if files.label:
            names[files.label] = f"{LABELS}/{files.case}{description.file_ending}"
    return {file: name for file, name in names.items() if file in wanted}


def _write(
    prepared: PreparedFolder, content: dict[str, Any], curation: Curation, copies: Mapping[str, HeaderRepair]
) -> Path:
    """Returns the folder of the curated root, written if it is not there yet."""
    record = {
        "quarantined": dict(curation.quarantine),
        "repaired_headers": [
            {"case": repair.case, "file": str(repair.file), "header_of": str(repair.first), "mm": repair.distance_mm}
            for repair in copies.values()
        ],
    }
    root = prepared.curated_root(json_sha256([content, record, [repair.digest() for repair in copies.values()]])[:16])
    remove_abandoned(root.parent)
    if not root.exists():
        with partial_folder(root) as partial:
            for name, repair in copies.items():
                target = partial / prepared.dataset / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(repair.repaired())
            write_json_atomically(partial / prepared.dataset / CURATION_FILE, record)
            write_json_atomically(partial / prepared.dataset / DATASET_JSON, content)
    return root


def _description(
    folder: Path,
    description: DatasetDescription,
    cases: Sequence[CaseFiles],
    right_numbers: Collection[int],
    copies: Mapping[Path, str],
) -> dict[str, Any]:
    """Returns the dataset.json of the cases that are left.

    Args:
        folder: The original's.
        description: The original.
        cases: Those that are left.
        right_numbers: What the original may say of the number of cases, with those that are left out. So may it say the
            number of those that are left. Any other number stays as it is, for the check to name.
        copies: As `_names_of_copies`.
    """
    n_training, n_left = description.n_training, len(cases)
    entries = {}
    for files in cases:
        # Where image or label is missing, the check of the case says so.
        images = files.images or (folder / IMAGES / f"{files.case}_0000{description.file_ending}",)
        label = files.label or folder / LABELS / f"{files.case}{description.file_ending}"
        entries[files.case] = {
            "images": [_entry(image, copies) for image in images],
            "label": _entry(label, copies),
        }
    return {
        **description.raw,
        "numTraining": n_left if n_training is None or n_training in right_numbers else n_training,
        "dataset": entries,
    }


def _entry(file: Path, copies: Mapping[Path, str]) -> str:
    """Returns how an entry of dataset.json names a file: a copy from its folder, an original by its whole path."""
    if file in copies:
        return copies[file]
    path = str(file.absolute())
    if re.search(r"\$(\w+|\{)", path):
        raise DatasetError(
            f"{path} holds a $, which nnU-Net takes for a variable in the entries of dataset.json. Rename the folder "
            "or file, or do without quarantine, repair_headers_mm and a splits_final.json beside the data."
        )
    return path


def _remove_others(prepared: PreparedFolder, kept: set[str]) -> None:
    for root in prepared.curated_root("").glob("[!.]*"):
        if root.name not in kept:
            shutil.rmtree(root)
