"""Predictions on disk: a folder that is whole, and beside it the one in which the next is made.

On disk, in a model's `nnunet_assets/`:

    test_predictions/CASE.ENDING        as nnUNetv2_predict writes them, with dataset.json and plans.json (and, of 3D
                                        TIFFs, with the spacing in CASE.json)
    test_predictions/predictions.json   by case, what it was made from and the SHA-256 of its files; written last
    .test_predictions/made_from.json    by case, what the files in `cases` are made from
    .test_predictions/cases/            predictions that are whole
    .test_predictions/parts/            those that are being written

nnU-Net writes a prediction straight to its name, so that a kill leaves half of one: each is written into `parts` and
takes its place by a rename. Nothing here knows what is in a file.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import fsync_path
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import read_json, write_json_atomically
from nnunet_assets.nnunet.prepared.case_sets import link_or_copy

MANIFEST = "predictions.json"


class PredictionStore:
    """The predictions of one model.

    Args:
        parent: The model's `nnunet_assets/`.
        file_ending: Of the predictions, such as `.nii.gz`.
    """

    def __init__(self, parent: Path, file_ending: str) -> None:
        self.folder = parent / "test_predictions"
        self.work = parent / ".test_predictions"
        self.cases, self.parts = self.work / "cases", self.work / "parts"
        self._made_from = self.work / "made_from.json"
        self._superseded = parent / ".test_predictions.superseded"
        self._ending = file_ending

    def predicted(self) -> dict[str, str]:
        """Returns case to the SHA-256 of its prediction, of the folder that is whole; empty where there is none.

        Raises:
            DamagedFileError: Its manifest is damaged.
        """
        return {case: record["sha256"] for case, record in self._records().items()}

    def is_current(self, wanted: Mapping[str, str]) -> bool:
        """Says whether the whole folder holds these cases, made from what is wanted, and no file was changed.

        Args:
            wanted: Case to the digest of what its prediction is to be made from.
        """
        records = self._records()
        is_made = {case: record["made_from"] for case, record in records.items()} == dict(wanted)
        return is_made and all(self.is_whole(case, record) for case, record in records.items())

    def begin(self, wanted: Mapping[str, str]) -> None:
        """Makes room for what is wanted, and keeps what is there of it already."""
        for left in (self.parts, self._superseded):
            shutil.rmtree(left, ignore_errors=True)
        self.parts.mkdir(parents=True)
        self.cases.mkdir(exist_ok=True)
        before = read_json(self._made_from) or {}
        for file in self.cases.iterdir():
            case = file.name.removesuffix(self._ending)
            if self._has_sidecars and case == file.name:
                case = case.removesuffix(".json")
            if case not in wanted or before.get(case) != wanted[case]:
                file.unlink()
        write_json_atomically(self._made_from, dict(wanted))
        for case, record in self._records().items():
            is_wanted = record["made_from"] == wanted.get(case) and not self.file(case).exists()
            if is_wanted and self.is_whole(case, record):
                if (sidecar := self.folder / f"{case}.json").is_file() and self._has_sidecars:
                    (self.cases / sidecar.name).unlink(missing_ok=True)
                    link_or_copy(sidecar, self.cases / sidecar.name)
                link_or_copy(self.finished_file(case), self.file(case))

    @property
    def _has_sidecars(self) -> bool:
        """Whether nnU-Net writes the spacing of a prediction into `CASE.json` beside it."""
        return self._ending.lower() in (".tif", ".tiff")

    def discard(self) -> None:
        """Removes what was predicted beside the whole folder: nobody knows what made it."""
        shutil.rmtree(self.cases)

    def file(self, case: str) -> Path:
        """Returns where a prediction lies while others are missing."""
        return self.cases / f"{case}{self._ending}"

    def finished_file(self, case: str) -> Path:
        """Returns where a prediction lies once none is missing."""
        return self.folder / self.file(case).name

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Returns the wanted cases that are not predicted yet."""
        return [case for case in wanted if not self.file(case).exists()]

    def finish(self, wanted: Mapping[str, str], model_folder: Path, details: Mapping[str, Any]) -> None:
        """Makes the predictions, of which none is missing, the folder that is whole."""
        for name in ("dataset.json", "plans.json"):
            shutil.copyfile(model_folder / name, self.cases / name)
        cases = {case: {"made_from": wanted[case], **self._digests(self.file(case))} for case in wanted}
        write_json_atomically(self.cases / MANIFEST, {**details, "cases": cases})
        # Killed between the two, the next start finds every case in `cases` and finishes.
        if self.folder.exists():
            self.folder.rename(self._superseded)
        self.cases.rename(self.folder)
        fsync_path(self.folder.parent)
        shutil.rmtree(self._superseded, ignore_errors=True)

    def _records(self) -> dict[str, dict[str, str]]:
        return dict((read_json(self.folder / MANIFEST) or {}).get("cases", {}))

    def is_whole(self, case: str, record: Mapping[str, str]) -> bool:
        """Says whether the prediction of a case is, byte by byte, the one of its record in `predictions.json`."""
        path = self.finished_file(case)
        if not path.is_file():
            return False
        found = self._digests(path)
        # Records of older versions say nothing of a sidecar.
        return found["sha256"] == record["sha256"] and record.get("beside") in (None, found.get("beside"))

    def _digests(self, file: Path) -> dict[str, str]:
        """Returns the SHA-256 of a prediction and, under `beside`, of its sidecar, where it has one."""
        sidecar = file.with_name(f"{file.name.removesuffix(self._ending)}.json")
        beside = {"beside": file_sha256(sidecar)} if self._has_sidecars and sidecar.is_file() else {}
        return {"sha256": file_sha256(file), **beside}
