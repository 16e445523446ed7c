"""What `nnunet-assets check --fix` decided: proposed from the findings, kept beside the data, and taken back again.

On disk: `nnUNet_preprocessed/DATASET/.nnunet_assets/curation.json` with `quarantine` (case to reason) and
`repair_headers_mm`. What the project's YAML declares is added to it, and counts where both speak of the same.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nnunet_assets.core.dataset.curation import HEADER_TOLERANCE_MM, Curation
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images.image_reader import reader_of_cases, reads_nifti_here
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw.case_files import LABELS, find_cases
from nnunet_assets.nnunet.raw.header_repair import HeaderRepair, all_header_repairs
from nnunet_assets.nnunet.raw.raw_root import dataset_folder
from nnunet_assets.settings import trusted_code

CURATION_FILE = "curation.json"
UNDO = "`nnunet-assets check DATASET --undo`"

_OF_HEADERS = ("D042", "D043")
"""Spacing that differs and files that lie apart: what another header can put right."""


@dataclass(frozen=True)
class ProposedFixes:
    """What can be done about findings without touching an original.

    Attributes:
        curation: What to declare; nothing in it: nothing can be done this way.
        repairs: The files that get another header.
        left: The errors that stay, and that somebody has to put right.
    """

    curation: Curation
    repairs: tuple[HeaderRepair, ...]
    left: tuple[Finding, ...]


def propose_fixes(
    roots: Roots,
    dataset: str,
    findings: Sequence[Finding],
    *,
    quarantined: Collection[str] = (),
    repaired: Collection[Path] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> ProposedFixes:
    """Returns what to leave out and what to repair: a case with an error goes, unless another header puts it right.

    Where more than half of the cases would go, the cause is in all of them, or in dataset.json, and none goes.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        findings: What the check of the dataset found.
        quarantined: Cases that are left out already.
        repaired: Files whose headers are repaired already.
        variables: As for `look_at_raw_data`.

    Raises:
        DatasetError: There is no such dataset, or its dataset.json is wrong.
    """
    folder = dataset_folder(roots.raw, dataset)
    description = parse_dataset_json(folder / DATASET_JSON)
    found, _ = find_cases(folder, description, {**variables, **roots.environment()})
    cases = [files for files in found if files.case not in quarantined]
    reader = reader_of_cases(description, cases, trusted_code(variables))
    is_here = reads_nifti_here(reader, description.file_ending)
    repairs = all_header_repairs(cases, HEADER_TOLERANCE_MM, str(reader)) if is_here else ()
    # A tenth of a millimetre is less than a voxel of any clinical image; under a microscope it is many.
    repairs = tuple(one for one in repairs if one.file not in repaired and one.distance_mm <= one.voxel_mm / 2)
    repairable = {repair.file for repair in repairs}
    errors: dict[str | None, list[Finding]] = {}
    for finding in findings:
        is_put_right = finding.code in _OF_HEADERS and folder / str(finding.file) in repairable
        if finding.severity == "error" and not is_put_right:
            errors.setdefault(case_of(finding, description.file_ending), []).append(finding)
    dataset_errors = errors.pop(None, [])
    quarantine = {str(case): _reason(found) for case, found in sorted(errors.items(), key=lambda item: str(item[0]))}
    if 2 * len(quarantine) > len({files.case for files in cases} | set(quarantine)):
        dataset_errors += [finding for found in errors.values() for finding in found]
        quarantine = {}
    kept = tuple(repair for repair in repairs if repair.case not in quarantine)
    tolerance_mm = min([HEADER_TOLERANCE_MM, *(repair.voxel_mm / 2 for repair in kept)])
    return ProposedFixes(Curation(quarantine, tolerance_mm if kept else None), kept, tuple(dataset_errors))


def case_of(finding: Finding, file_ending: str) -> str | None:
    """Returns the case that a finding is about, also of a link that leads nowhere; None: of no single case."""
    if finding.case or not finding.file or not finding.file.endswith(file_ending):
        return finding.case
    stem = Path(finding.file).name.removesuffix(file_ending)
    return stem if finding.file.startswith(f"{LABELS}/") else re.sub(r"_\d{4}$", "", stem)


def read_curation(prepared: PreparedFolder) -> Curation:
    """Returns what the file says; without a file, nothing is left out and nothing repaired.

    Raises:
        DatasetError: The file is damaged, or not of the form.
    """
    path = prepared.own / CURATION_FILE
    try:
        content = load_json(path)
    except FileNotFoundError:
        return Curation()
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}). Restore it, or {UNDO}.") from None
    if not _is_curation(content):
        raise DatasetError(
            f'{path} is not of the form {{"quarantine": {{"case": "reason"}}, "repair_headers_mm": number or null}}. '
            f"Correct it, or {UNDO}."
        )
    return Curation(**content)


def write_curation(prepared: PreparedFolder, curation: Curation) -> Path:
    """Writes the file, in place of the one that is there, and returns its path."""
    path = prepared.own / CURATION_FILE
    kept = {"quarantine": dict(curation.quarantine), "repair_headers_mm": curation.repair_headers_mm}
    write_json_atomically(path, kept)
    return path


def remove_curation(prepared: PreparedFolder) -> bool:
    """Removes the file, damaged or not, and returns whether there was one. What the YAML declares stays."""
    path = prepared.own / CURATION_FILE
    is_there = path.exists()
    path.unlink(missing_ok=True)
    return is_there


def _reason(findings: Sequence[Finding]) -> str:
    first, others = findings[0].message, len(findings) - 1
    return first if not others else f"{first} And {others} more problem{'s' if others > 1 else ''}."


def _is_curation(content: Any) -> bool:
    if not isinstance(content, dict) or set(content) != {"quarantine", "repair_headers_mm"}:
        return False
    quarantine, tolerance = content["quarantine"], content["repair_headers_mm"]
    return (
        isinstance(quarantine, dict)
        and all(isinstance(reason, str) for reason in quarantine.values())
        and (tolerance is None or (isinstance(tolerance, int | float) and tolerance > 0))
    )
