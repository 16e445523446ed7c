"""A finished fold that is validated again: it stays finished, with its scores, until the new validation is whole.

On disk, in `fold_k/.nnunet_assets/validation_again/` while that goes on: `output/` and `model/`, into which nnU-Net
writes what else goes into the fold's and the model's folder; then, where all of it is there, `journal.jsonl`,
`manifest.json` and, last of all, `COMMIT`. What has no COMMIT is thrown away: by the end of the attempt, or by the next
one where the whole machine was killed. What has one replaces the old validation by renames alone, for which a full disk
has room, and COMMIT is the last of them: wherever a kill comes, the next attempt does the rest. From the first rename
to the last, some milliseconds, a reader finds a fold that is not finished, never a part of each.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from nnunet_assets.core.files.atomic_files import fsync_path, fsync_tree, write_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import COMMIT_FILE, MANIFEST_FILE, Manifest, write_commit, write_manifest
from nnunet_assets.core.fold.journal import Record, append_record, journal_path, write_records
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE

AGAIN_FOLDER = f"{OWN_FOLDER}/validation_again"
OUTPUT_FOLDER = f"{AGAIN_FOLDER}/output"
"""Both relative to the fold's folder."""


def begin_again(fold_folder: Path) -> None:
    """Makes an empty place for the new validation, with links to the fold's files, which a trainer may look for."""
    settle_again(fold_folder)
    output = fold_folder / OUTPUT_FOLDER
    output.mkdir(parents=True)
    for file in fold_folder.iterdir():
        if file.is_file():
            with suppress(OSError):  # a file system without links
                (output / file.name).symlink_to(file.absolute())


class WritesFiles(Protocol):
    """Of nnU-Net's trainer: the fold's folder and the model's."""

    output_folder: str
    output_folder_base: str


@contextmanager
def written_again(trainer: WritesFiles) -> Iterator[None]:
    """Makes what the trainer validates in the block go into the new place, which is there."""
    fold, model = trainer.output_folder, trainer.output_folder_base
    trainer.output_folder = os.path.join(fold, OUTPUT_FOLDER)  # noqa: PTH118 - nnU-Net's are texts
    trainer.output_folder_base = os.path.join(fold, AGAIN_FOLDER, "model")  # noqa: PTH118
    try:
        yield
    finally:
        trainer.output_folder, trainer.output_folder_base = fold, model


def name_final_places(fold_folder: Path) -> None:
    """Makes the new summary.json name its predictions where they are going to lie."""
    file = fold_folder / OUTPUT_FOLDER / SUMMARY_FILE
    inserted = json.dumps(os.sep + str(Path(OUTPUT_FOLDER)))[1:-1].encode()
    write_atomically(file, file.read_bytes().replace(inserted, b""))


def commit_again(
    fold_folder: Path, manifest: Manifest | None, records: Iterable[Record], end: Mapping[str, float | None]
) -> None:
    """Makes the new validation, which is whole, that of the fold.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        manifest: None: that of the fold, which is the same.
        records: Of the journal, without its end.
        end: What the journal ends with.
    """
    again = fold_folder / AGAIN_FOLDER
    write_records(again / "journal.jsonl", records)
    append_record(again / "journal.jsonl", "end", end)
    fsync_tree(again)  # the old validation will be gone by then
    if manifest is None:
        write_atomically(again / MANIFEST_FILE, (fold_folder / OWN_FOLDER / MANIFEST_FILE).read_bytes())
    else:
        write_manifest(again, manifest)
    write_commit(again)
    settle_again(fold_folder)


def settle_again(fold_folder: Path) -> None:
    """Takes over a new validation that is whole, and throws away one that is not; only the fold's owner may."""
    again = fold_folder / AGAIN_FOLDER
    if (again / COMMIT_FILE).is_file():
        _take_over(fold_folder, again)
    # What cannot be removed now is in nobody's way.
    shutil.rmtree(again, ignore_errors=True)


def _take_over(fold_folder: Path, again: Path) -> None:
    """Puts everything into its place; what an earlier call did already is left."""
    own = fold_folder / OWN_FOLDER
    (own / COMMIT_FILE).unlink(missing_ok=True)
    fsync_path(own)
    for new in fold_folder.joinpath(OUTPUT_FOLDER).iterdir():
        if not new.is_symlink():
            _replace(fold_folder / new.name, new, again / "before")
    for new in [path for path in (again / "model").rglob("*") if path.is_file()]:
        place = fold_folder.parent / new.relative_to(again / "model")
        place.parent.mkdir(parents=True, exist_ok=True)
        new.replace(place)
    fsync_path(fold_folder)
    for new, place in (
        (again / "journal.jsonl", journal_path(fold_folder)),
        (again / MANIFEST_FILE, own / MANIFEST_FILE),
    ):
        if new.exists():
            new.replace(place)
    fsync_path(own)
    (again / COMMIT_FILE).replace(own / COMMIT_FILE)
    fsync_path(own)


def _replace(old: Path, new: Path, before: Path) -> None:
    """Puts the new file or folder where the old one is, if any; an old folder goes away with the rest later."""
    if new.is_dir() and old.exists():
        before.mkdir(exist_ok=True)
        shutil.rmtree(before / old.name, ignore_errors=True)
        old.rename(before / old.name)
    new.replace(old)
