"""What is known of the raw data of a prepared dataset: `raw.json`, and the raw root that nnU-Net's processes read."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import read_json, write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw.raw_record import RawRecord

RAW_FILE = "raw.json"
"""In the hidden folder: the raw dataset as it was last looked at."""

VERIFIED_FILE = "nnunet_integrity.json"
"""In the intake's folder: which raw data nnU-Net's own integrity check agreed with."""


def read_raw(prepared: PreparedFolder) -> RawRecord:
    """Returns the raw dataset as last looked at.

    Raises:
        PlanningError: It was never looked at, or contradicts itself.
        DamagedFileError: The record is damaged.
    """
    content = read_json(prepared.own / RAW_FILE)
    if content is None:
        raise PlanningError(
            f"Nothing is known about the raw data of {prepared.dataset}: {prepared.own / RAW_FILE} is missing. "
            "Materialize raw_dataset first."
        )
    # Older versions compared cases by the bytes of all their files.
    copies = {"image_hashes": content.get("case_hashes", {})}
    record = RawRecord(**{**copies, **content, "cases": tuple(content["cases"])})
    if record.errors:
        raise PlanningError(
            f"The raw data of {prepared.dataset} is not fit to be trained on. Put it right and materialize raw_dataset "
            f"again.\n{record.errors}"
        )
    return record


def write_raw(prepared: PreparedFolder, record: RawRecord) -> None:
    """Records the raw dataset as it was found."""
    write_json_atomically(prepared.own / RAW_FILE, asdict(record))


def former_raw(prepared: PreparedFolder) -> dict[str, Any] | None:
    """Returns the record of the raw dataset as it stands, whichever version made it; None: there is none.

    With `planned_spacings`, those that nnU-Net's fingerprint has of the cases, where there is one.

    Raises:
        DamagedFileError: It is damaged.
    """
    record = read_json(prepared.own / RAW_FILE)
    if record is None:
        return None
    with suppress(DamagedFileError):  # planning makes it anew
        record["planned_spacings"] = (read_json(prepared.folder / "dataset_fingerprint.json") or {}).get("spacings")
    return record


def known_orientations(prepared: PreparedFolder) -> tuple[str, ...]:
    """Returns where the axes of the training images lead, such as `LPS`, the commonest first; empty: not known."""
    found: dict[str, int] = (read_json(prepared.own / RAW_FILE) or {}).get("orientations") or {}
    return tuple(sorted(found, key=lambda orientation: (-found[orientation], orientation)))


def curation_of(prepared: PreparedFolder) -> str:
    """Returns the folder in `.nnunet_assets/raw` that was looked at last; empty: nnUNet_raw itself, or nothing yet."""
    return str((read_json(prepared.own / RAW_FILE) or {}).get("curation", ""))


def curated_roots(prepared: PreparedFolder, curation: str | None = None) -> Roots:
    """Returns nnU-Net's folders for its processes: `nnUNet_raw` without the cases that are left out, and repaired.

    Args:
        prepared: The dataset.
        curation: As its raw record has it; None: as it is now.

    Raises:
        PlanningError: The curated raw root was deleted.
    """
    curation = curation_of(prepared) if curation is None else curation
    if not curation:
        return prepared.roots
    raw = prepared.curated_root(curation)
    if not raw.is_dir():
        raise PlanningError(
            f"{prepared.dataset} has cases in quarantine, repaired headers, or files beside it that nnU-Net must "
            f"not see, but {raw}, which was made without them, is gone. Materialize raw_dataset again."
        )
    return replace(prepared.roots, raw=raw)


def curated_folder(prepared: PreparedFolder, curation: str | None = None) -> Path:
    """Returns the raw dataset that nnU-Net's processes read; arguments and errors as of `curated_roots`."""
    return curated_roots(prepared, curation).raw / prepared.dataset


def is_verified(prepared: PreparedFolder, made_from: Mapping[str, Any]) -> bool:
    """Says whether nnU-Net's own integrity check, of this version, agreed with the raw data as it is."""
    return read_json(prepared.intake_folder / VERIFIED_FILE) == dict(made_from)


def note_verified(prepared: PreparedFolder, made_from: Mapping[str, Any]) -> None:
    """Records that nnU-Net's own integrity check agreed with the raw data of that digest, in that version."""
    write_json_atomically(prepared.intake_folder / VERIFIED_FILE, made_from)
