"""What is known on disk about a prepared dataset: which raw data it was made from, and by what.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/`: `raw.json` (the raw dataset as last looked at), `PLANS.json`
(what a plans file was made from) and `PLANS__CONFIGURATION.json` (what the preprocessed cases were made from, written
last). A lock beside each configuration keeps it from being made again while folds read it.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.layout import OWN_FOLDER, Roots
from nnunet_assets.core.provenance import json_sha256, write_json_atomically
from nnunet_assets.errors import PlanningError


@dataclass(frozen=True)
class RawRecord:
    """The raw dataset as it was last looked at.

    Attributes:
        content_hash: Digest of dataset.json, images and labels.
        cases: Case ids, sorted.
        voxels_checked: Whether the voxels were read; if not (a format other than NIfTI), nnU-Net's own integrity check
            must run before planning.
    """

    content_hash: str
    cases: tuple[str, ...]
    voxels_checked: bool


class PreparedDataset:
    """The records of one dataset's folder in `nnUNet_preprocessed`."""

    def __init__(self, roots: Roots, dataset: str) -> None:
        self.dataset = dataset
        self.folder = roots.preprocessed / dataset
        self.own = self.folder / OWN_FOLDER

    def write_raw(self, record: RawRecord) -> None:
        """Records the raw dataset as it was found."""
        write_json_atomically(self.own / "raw.json", asdict(record))

    def read_raw(self) -> RawRecord:
        """Returns the raw dataset as last looked at.

        Raises:
            PlanningError: It was never looked at.
        """
        content = _read_json(self.own / "raw.json")
        if content is None:
            raise PlanningError(
                f"Nothing is known about the raw data of {self.dataset}: {self.own / 'raw.json'} is missing. "
                "Materialize raw_dataset first."
            )
        return RawRecord(content["content_hash"], tuple(content["cases"]), content["voxels_checked"])

    def plans_file(self, plans: str) -> Path:
        """Returns where nnU-Net keeps the plans."""
        return self.folder / f"{plans}.json"

    def plans_hash(self, plans: str) -> str | None:
        """Returns the digest of the plans as they are now; None where there are none."""
        content = _read_json(self.plans_file(plans))
        return None if content is None else json_sha256(content)

    def plans_stamp(self, plans: str) -> dict[str, Any] | None:
        """Returns what the plans were made from, as written by `stamp_plans`; None: not made by this project."""
        return _read_json(self.own / f"{plans}.json")

    def stamp_plans(self, plans: str, made_from: Mapping[str, Any], plans_hash: str | None) -> None:
        """Records what the plans are made from, and their digest; None while they are being made."""
        write_json_atomically(self.own / f"{plans}.json", {**made_from, "plans_hash": plans_hash})

    def cases_stamp(self, plans: str, configuration: str) -> dict[str, Any] | None:
        """Returns what the preprocessed cases were made from; None: not, or not completely, preprocessed."""
        return _read_json(self._stamp_file(plans, configuration))

    def stamp_cases(self, plans: str, configuration: str, made_from: Mapping[str, Any]) -> None:
        """Records that the preprocessed cases are complete, and what they were made from."""
        write_json_atomically(self._stamp_file(plans, configuration), dict(made_from))

    def unstamp_cases(self, plans: str, configuration: str) -> None:
        """Takes the record back before the cases are made again."""
        self._stamp_file(plans, configuration).unlink(missing_ok=True)

    @contextmanager
    def lock(self, plans: str, configuration: str, mode: Literal["read", "write"]) -> Iterator[None]:
        """Holds the preprocessed cases for reading (a fold trains) or for making them again.

        A kernel lock: it is free the moment its owner dies.

        Raises:
            PlanningError: Somebody reads what is to be made again, or makes what is to be read.
        """
        self.own.mkdir(parents=True, exist_ok=True)
        with (self.own / f"{plans}__{configuration}.lock").open("w") as file:
            kind = fcntl.LOCK_SH if mode == "read" else fcntl.LOCK_EX
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                other = (
                    "being preprocessed" if mode == "read" else "in use by a fold that trains, or being preprocessed"
                )
                raise PlanningError(
                    f"The preprocessed cases of {self.dataset}, {plans}, {configuration} are {other} in another "
                    "process. Try again when it is done."
                ) from error
            yield

    def _stamp_file(self, plans: str, configuration: str) -> Path:
        return self.own / f"{plans}__{configuration}.json"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PlanningError(
            f"{path} is not valid JSON ({error}). Restore it, or delete it to have it made again."
        ) from error
    return content
