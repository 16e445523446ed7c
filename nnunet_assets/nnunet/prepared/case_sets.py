"""Preprocessed cases on disk, in sets that are named by what they were made from; each set is whole or not used.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/cases/FOLDER/`, where FOLDER is what nnU-Net calls its folder of
preprocessed cases:

    making.lock              held by the process that makes a set, or shows one in nnU-Net's own folder
    DIGEST/made_from.json    what the set is made from, and why
    DIGEST/cases/            the files, as nnU-Net writes them
    DIGEST/parts/CASE.json   a case that is whole, while others are missing
    DIGEST/manifest.json     every case, with the SHA-256 of its files and of its reference; written last
    DIGEST/checked           its time is that of the last look at every byte
    DIGEST/readers.lock      held by the folds that read the set

nnU-Net's own folder, `nnUNet_preprocessed/DATASET/FOLDER`, holds hard links of the files of one set: what plain nnU-Net
reads there costs no space, and what it deletes there is not lost. Nothing here knows what is in a file.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from nnunet_assets.core.files.atomic_files import fsync_path, remove_unfinished
from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.files.file_age import age_seconds
from nnunet_assets.core.files.json_file import OTHER_FORM, read_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.errors import DamagedFileError, PlanningError, first_offenders
from nnunet_assets.nnunet.prepared.case_records import CaseRecord, FileRecord, Ingredients

CHECKED_FOR_SECONDS = 24 * 3600
"""How long a look at every byte holds. The folds of a cross-validation that start together look once, not each anew;
what changed a file without changing its time, as failing disks do, is found a day later at the latest."""

CHECKING_THREADS = 4


class CaseSet:
    """One set: the folder `DIGEST`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = folder / "cases"
        self.parts = folder / "parts"
        self.readers_lock = folder / "readers.lock"
        self._made_from = folder / "made_from.json"
        self._manifest = folder / "manifest.json"
        self._checked = folder / "checked"

    @property
    def is_whole(self) -> bool:
        """Whether every case was made; what is not whole is read by nobody."""
        return self._manifest.is_file()

    def begin(self, ingredients: Ingredients, why: str) -> None:
        """Records what the set is made from and why, and removes what a kill left of cases that were being made."""
        self.cases.mkdir(parents=True, exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        for left in self.parts.glob("*.making"):
            shutil.rmtree(left)
        remove_unfinished(self.parts)
        if self.is_whole or not self._made_from.is_file():
            write_json_atomically(self._made_from, {**asdict(ingredients), "why": why})

    def ingredients(self) -> Ingredients | None:
        """Returns what the set is made from; None: it was not even begun."""
        content = read_json(self._made_from)
        return None if content is None else Ingredients(content["read"], content["raw"])

    @property
    def why(self) -> str:
        """Why cases were made for it last."""
        return str((read_json(self._made_from) or {}).get("why", ""))

    def records(self) -> dict[str, CaseRecord]:
        """Returns the cases that are whole.

        Raises:
            DamagedFileError: What is recorded of them is damaged.
        """
        content = (read_json(self._manifest) or {}).get("cases", {})
        parts = {path.name.removesuffix(".json"): read_json(path) for path in self.parts.glob("*.json")}
        try:
            return {case: CaseRecord.from_json(record) for case, record in {**content, **parts}.items() if record}
        except OTHER_FORM as error:
            raise DamagedFileError(
                f"{self._manifest}, or what lies in {self.parts.name} beside it, is not as this package writes it "
                f"({error!r}). Remove the folder {self.folder}: its cases are made again."
            ) from error

    @property
    def n_parts(self) -> int:
        """How many cases are whole while the set is being made."""
        return len(list(self.parts.glob("*.json")))

    def work_folder(self, case: str) -> Path:
        """Returns an empty folder to make a case in."""
        folder = self.parts / f"{case}.making"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def take(self, case: str, raw: str, work_folder: Path, references: Mapping[str, FileRecord]) -> None:
        """Takes a case that was made in a work folder; killed meanwhile, the case is not whole and is made again."""
        files = {}
        for path in sorted(work_folder.iterdir()):
            fsync_path(path)
            files[path.name] = FileRecord.of(path)
            path.replace(self.cases / path.name)
        fsync_path(self.cases)
        self.note(case, CaseRecord(raw, files, references))
        work_folder.rmdir()

    def reuse(self, case: str, record: CaseRecord, other: "CaseSet") -> bool:
        """Takes a case of another set as it is; returns False where its files there are not whole."""
        if not all(file.is_of(other.cases / name, every_byte=False) for name, file in record.files.items()):
            return False
        for name in record.files:
            (self.cases / name).unlink(missing_ok=True)
            link_or_copy(other.cases / name, self.cases / name)
        fsync_path(self.cases)
        self.note(case, record)
        return True

    def note(self, case: str, record: CaseRecord) -> None:
        """Records a case as whole."""
        write_json_atomically(self.parts / f"{case}.json", asdict(record))

    def finish(self) -> None:
        """Writes the manifest: from here on the set is whole."""
        ingredients = self.ingredients()
        records = self.records()
        if ingredients is None:
            raise PlanningError(f"{self.folder} cannot be finished: it was not begun.")
        if missing := [case for case in ingredients.raw if case not in records]:
            raise PlanningError(f"{self.folder} cannot be finished: it lacks {first_offenders(missing)}.")
        cases = {case: asdict(records[case]) for case in ingredients.raw}
        write_json_atomically(self._manifest, {"cases": cases})
        shutil.rmtree(self.parts)
        self._checked.touch()

    def damaged(self) -> list[str]:
        """Returns the cases with a file that is not any more what was made; every byte is read once a day."""
        every_byte = self._is_every_byte_due
        found = self._differing(self.cases, lambda record: record.files, every_byte=every_byte)
        if found:
            self._checked.unlink(missing_ok=True)
        elif every_byte and self.is_whole:
            self._checked.touch()
        return found

    def changed_references(self, folder: Path) -> list[str]:
        """Returns the cases whose reference in a folder is not the label that they were made with, or not known to be.

        To be asked before `damaged`, which notes that every byte was read.
        """
        return self._differing(folder, lambda record: record.references, every_byte=self._is_every_byte_due)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keeps the set from being removed; a kernel lock, free the moment its owner dies.

        Raises:
            PlanningError: There is no such set, or not any more.
        """
        with _locked(self.readers_lock, fcntl.LOCK_SH | fcntl.LOCK_NB) as is_locked:
            if not is_locked or not self.is_whole:
                raise PlanningError(
                    f"The preprocessed cases in {self.cases} were removed meanwhile, or are not whole. Materialize "
                    "preprocessed_plans first."
                )
            yield

    def remove_unless_read(self) -> None:
        """Removes the set where nobody reads it."""
        with _locked(self.readers_lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_locked:
            if is_locked:
                # Whole or gone, whatever kills this.
                removed = self.folder.with_name(f".removed_{self.folder.name}")
                self.folder.rename(removed)
                shutil.rmtree(removed)

    @property
    def _is_every_byte_due(self) -> bool:
        return not _is_younger(self._checked, CHECKED_FOR_SECONDS)

    def _differing(
        self, folder: Path, files_of: Callable[[CaseRecord], Mapping[str, FileRecord]], *, every_byte: bool
    ) -> list[str]:
        """Returns the cases of which a folder lacks a file as it was, or of which no file is recorded."""
        records = self.records()

        def differs(case: str) -> bool:
            files = files_of(records[case])
            return not files or not all(
                file.is_of(folder / name, every_byte=every_byte) for name, file in files.items()
            )

        with ThreadPoolExecutor(CHECKING_THREADS, thread_name_prefix="check_preprocessed") as pool:
            return [case for case, is_other in zip(records, pool.map(differs, records), strict=True) if is_other]


def sets_in(folder: Path) -> list[CaseSet]:
    """Returns the sets of a folder of preprocessed cases, the newest first."""
    begun = sorted(folder.glob("[0-9a-f]*/made_from.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [CaseSet(path.parent) for path in begun]


def remove_unwanted(folder: Path, wanted: Collection[str]) -> None:
    """Removes the sets that no plans want any more and no fold reads."""
    for left in folder.glob(".removed_*"):
        shutil.rmtree(left)
    for case_set in sets_in(folder):
        if case_set.folder.name not in wanted:
            case_set.remove_unless_read()


@contextmanager
def writing(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a folder for making what lies in it; waits for another process that does, and calls `on_wait` before."""
    lock = folder / "making.lock"
    with _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_free:
        if is_free:
            yield
            return
    on_wait()
    with _locked(lock, fcntl.LOCK_EX):
        yield


def is_shown(case_set: CaseSet, shown: Path) -> bool:
    """Says whether nnU-Net's own folder holds the files of the set and no other case."""
    wanted = _stamps(case_set.cases)
    present = _stamps(shown)
    # An older format of nnU-Net's unpacks its cases beside them.
    suffixes = {Path(name).suffix for name in wanted}
    return wanted == {name: stamp for name, stamp in present.items() if Path(name).suffix in suffixes}


def show(case_set: CaseSet, shown: Path) -> None:
    """Makes nnU-Net's own folder hold the files of the set, for plain nnU-Net to read."""
    new, old = (case_set.folder.with_name(name) for name in (".shown_new", ".shown_old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    new.mkdir()
    for path in case_set.cases.iterdir():
        # By what lies there nnU-Net infers its format, and knows none of .DS_Store.
        if not is_dropping(path.name):
            link_or_copy(path, new / path.name)
    if shown.exists():
        shown.rename(old)
    new.rename(shown)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Makes a hard link, or a copy with the same time where the file system has none or refuses it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {
            entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in entries
            if not is_dropping(entry.name)
        }


def _is_younger(path: Path, seconds: float) -> bool:
    try:
        return age_seconds(path) < seconds
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[bool]:
    """Yields whether the kernel's lock of a file was got; the file is made where its folder is there."""
    try:
        file = path.open("a+")  # both: on network drives a shared lock needs reading, an exclusive one writing
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            flock(file, kind)
        except BlockingIOError:
            yield False
            return
        yield True
