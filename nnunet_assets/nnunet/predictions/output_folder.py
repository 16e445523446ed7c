"""The folder that a user wants masks in: each whole or absent, with what it was made from, and nobody else's touched.

On disk:

    OUT/CASE.ENDING                     the mask (of 3D TIFFs, with the spacing in CASE.json)
    OUT/CASE.npz, CASE.pkl              its probabilities, where they were asked for, as nnU-Net writes them
    OUT/dataset.json, plans.json        the model's, by which nnU-Net's own commands read the folder
    OUT/.nnunet_assets/made_by.json     the model, and the flags
    OUT/.nnunet_assets/made_from.json   by case, the digest of its images
    OUT/.nnunet_assets/images.json      by case, the files of its images, by channel
    OUT/.nnunet_assets/warnings.json    by case, the codes of what there was to say of its images
    OUT/.nnunet_assets/records/         by case, what is known of its mask; there before the mask is
    OUT/.nnunet_assets/parts/           masks that are being written
    OUT/.nnunet_assets/stages/          what the stages before of cascades predicted

A mask that has its name and its record is finished, and is not predicted again. Masks of one folder are all of one
model with one set of flags; whatever was not made here is not overwritten unless that is asked for.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import remove_unfinished, write_atomically
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import JsonError, read_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import held_alone
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.errors import PredictionError, first_offenders
from nnunet_assets.nnunet.predictions.written_mask import MaskRecord


@dataclass(frozen=True)
class MadeBy:
    """What decides a mask beside its image.

    Attributes:
        title: The model's, for people.
        settings: The model's digest, the flags, and whether its postprocessing is applied; JSON values.
    """

    title: str
    settings: Mapping[str, Any]


class OutputFolder:
    """A folder of masks.

    Args:
        folder: It need not be there.
        file_ending: Of images and masks.
    """

    def __init__(self, folder: Path, file_ending: str) -> None:
        self.folder = folder
        self.work = folder / OWN_FOLDER
        self.parts, self.stages = self.work / "parts", self.work / "stages"
        self._records = self.work / "records"
        self._made_by, self._made_from = self.work / "made_by.json", self.work / "made_from.json"
        self._warnings, self._images = self.work / "warnings.json", self.work / "images.json"
        self._ending = file_ending

    @property
    def facts(self) -> Path:
        """Where it is kept what was read of the images."""
        return self.work / "image_facts.json"

    def file(self, case: str) -> Path:
        """Returns where a mask lies once it is whole."""
        return self.folder / f"{case}{self._ending}"

    def record_file(self, case: str) -> Path:
        """Returns where it is kept what is known of a mask."""
        return self._records / f"{case}.json"

    def record(self, case: str) -> MaskRecord | None:
        """Returns what is known of a mask that is finished; None: it is not."""
        if not self.file(case).is_file():
            return None
        try:
            return dataclass_from_json(MaskRecord, self.record_file(case).read_bytes())
        except (FileNotFoundError, JsonError):
            return None

    def finished(self) -> dict[str, MaskRecord]:
        """Returns every mask that was finished here, of whatever call, by case."""
        cases = sorted(dict(read_json(self._made_from) or {}))
        return {case: record for case in cases if (record := self.record(case))}

    def images_hash(self, case: str) -> str | None:
        """Returns the digest of the images that a mask was made from."""
        found = (read_json(self._made_from) or {}).get(case)
        return None if found is None else str(found)

    def keep_warnings(self, codes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Keeps the codes of the warnings of some cases, and returns those of all that were looked at here.

        Args:
            codes: Of each case of a call, one without any included.
        """
        known = {**(read_json(self._warnings) or {}), **{case: list(of) for case, of in codes.items()}}
        write_json_atomically(self._warnings, known)
        return known

    def keep_images(self, files: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Keeps which files the cases of a call are, by channel, and returns those of all that were predicted here."""
        known = {**(read_json(self._images) or {}), **{case: list(of) for case, of in files.items()}}
        write_json_atomically(self._images, known)
        return known

    def conflicts(self, made_by: MadeBy, wanted: Mapping[str, str]) -> list[str]:
        """Returns why these masks must not be made here, a sentence each; empty: they may.

        Args:
            made_by: What is to make them.
            wanted: Case to the digest of its images.
        """
        return list(self._conflicts(made_by, wanted)) if self.folder.is_dir() else []

    def _conflicts(self, made_by: MadeBy, wanted: Mapping[str, str]) -> Iterator[str]:
        before, finished = read_json(self._made_by), self.finished()
        if before and finished and (changed := _changes(before, made_by)):
            yield f"It holds {len(finished)} masks that were made otherwise: {changed}."
            return
        of_others = [case for case in wanted if case in finished and self.images_hash(case) != wanted[case]]
        if of_others:
            yield f"It holds masks of other images with these names: {first_offenders(of_others)}."
        changed_since = [
            case
            for case in wanted
            if case in finished and case not in of_others and file_sha256(self.file(case)) != finished[case].sha256
        ]
        if changed_since:
            yield f"These masks were changed since they were predicted: {first_offenders(changed_since)}."
        foreign = [self.file(case).name for case in wanted if case not in finished and self.file(case).exists()]
        if foreign:
            yield f"It holds files that were not predicted here: {first_offenders(foreign)}."

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Returns the cases that are still to be predicted, in their order."""
        return [case for case in wanted if self.record(case) is None or self.images_hash(case) != wanted[case]]

    def begin(
        self, made_by: MadeBy, wanted: Mapping[str, str], model_files: Mapping[str, Path], *, overwrites: bool
    ) -> None:
        """Makes room for what is wanted, and keeps what is there of it already.

        Args:
            made_by: What is to make it.
            wanted: Case to the digest of its images.
            model_files: What is laid beside the masks, by name.
            overwrites: Whether masks that are in the way go.

        Raises:
            PredictionError: Something is in the way, and is not to be overwritten.
        """
        if problems := self.conflicts(made_by, wanted):
            if not overwrites:
                raise PredictionError(
                    f"{self.folder} cannot take these masks. {' '.join(problems)} Take another folder, or --overwrite."
                )
            self._clear(made_by, wanted)
        elif overwrites:
            self._clear(made_by, wanted)
        for left in (self.parts,):
            shutil.rmtree(left, ignore_errors=True)
        for folder in (self.parts, self._records, self.stages):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.work, self._records, *self.stages.iterdir()):
            remove_unfinished(folder, is_sole_owner=True)
        content = {"model": made_by.title, **made_by.settings}
        if read_json(self._made_by) != content:
            shutil.rmtree(self.stages)
            self.stages.mkdir()
        write_json_atomically(self._made_by, content)
        before = read_json(self._made_from) or {}
        for case in wanted:
            if before.get(case) != wanted[case]:
                self._clear_stages(case)
        write_json_atomically(self._made_from, {**before, **wanted})
        for name, file in model_files.items():
            write_atomically(self.folder / name, file.read_bytes())

    def _clear(self, made_by: MadeBy, wanted: Sequence[str] | Mapping[str, str]) -> None:
        """Removes the wanted cases' masks; of another model, all that were made here."""
        finished = self.finished()
        is_other = _changes(read_json(self._made_by) or {}, made_by) is not None
        for case in {*wanted, *(finished if is_other else ())}:
            # The mask first: without it, nothing else counts.
            for file in (self.file(case), *(self.folder / f"{case}{end}" for end in (".npz", ".pkl"))):
                file.unlink(missing_ok=True)
            self.record_file(case).unlink(missing_ok=True)
            self._clear_stages(case)
        if is_other:
            write_json_atomically(self._made_from, {})

    def _clear_stages(self, case: str) -> None:
        """Removes what the stages before of cascades predicted of a case, which may have been other images."""
        for stage in self.stages.glob("*"):
            (stage / f"{case}{self._ending}").unlink(missing_ok=True)

    def sole_owner(self) -> AbstractContextManager[None]:
        """Keeps a second prediction out of the folder."""
        self.work.mkdir(parents=True, exist_ok=True)
        refusal = f"Another process predicts into {self.folder} at the moment. Wait for it, or take another folder."
        return held_alone(self.work / "owner.lock", PredictionError(refusal))


def _changes(before: Mapping[str, Any], made_by: MadeBy) -> str | None:
    """Returns what differs, for people; None: nothing."""
    settings = made_by.settings
    names = [name for name in settings if before.get(name) != settings[name]]
    if "digest" in names:
        return f"by {before.get('model')} ({str(before.get('digest'))[:12]}), and now by {made_by.title} " + (
            f"({str(settings['digest'])[:12]})"
        )
    return ", ".join(f"{name} was {before.get(name)} and is {settings[name]}" for name in names) or None
