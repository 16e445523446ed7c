"""The cases of a dataset read side by side, each once, and not again while it is known to be unchanged."""

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.nnunet.cases.case_check import CaseFacts, check_case
from nnunet_assets.nnunet.cases.fact_cache import FactCache, Stats, look_at
from nnunet_assets.nnunet.images.nifti import READ_AT_ONCE

WORKERS = READ_AT_ONCE
"""Cases read at a time, and so images in memory at a time; unpacking and hashing run in parallel, Python does not."""


def read_cases(
    cases: Sequence[CaseFiles],
    folder: Path,
    description: DatasetDescription,
    reader: str | None,
    *,
    progress: Progress = SILENT,
    what: str = "cases read",
    cache: FactCache | None = None,
) -> tuple[list[CaseFacts], int]:
    """Returns the facts in the order of the cases, and how many cases were read for it and not remembered.

    Args:
        cases: The files of each case.
        folder: The dataset's.
        description: Its dataset.json.
        reader: nnU-Net's reader of the dataset (`image_reader`); None: there is none.
        progress: Hears of each case, always in the caller's thread.
        what: What is counted, as in `Progress.step`.
        cache: What is known from before; None: every case is read.

    Raises:
        DatasetError: A file that was listed is gone. What was read before this, or any other end, is in the cache.
    """
    found: dict[str, CaseFacts] = {}
    if cache:
        cache.open(description, reader)
        cache.forget_others([files.case for files in cases])
        found = {files.case: facts for files in cases if (facts := cache.known(files))}
    unknown = [files for files in cases if files.case not in found]
    try:
        # Closed at once when something ends the loop: the cases that still wait are not read then.
        with closing(_looks(unknown, folder, description, reader)) as looks:
            for look in looks:
                found[look.files.case] = look.facts
                if cache:
                    cache.keep(look.files, look.stats, look.looked_at_ns, look.facts)
                progress.step(what, len(found), len(cases))
    finally:
        # What was read before an interrupt is not read again.
        if cache:
            cache.flush()
    return [found[files.case] for files in cases], len(unknown)


@dataclass(frozen=True)
class _Look:
    files: CaseFiles
    stats: Stats
    looked_at_ns: int
    facts: CaseFacts


def _looks(
    cases: Sequence[CaseFiles], folder: Path, description: DatasetDescription, reader: str | None
) -> Generator[_Look]:
    """Yields each case once it is read, `WORKERS` of them at a time."""

    def look(files: CaseFiles) -> _Look:
        stats, looked_at_ns = look_at(files, reader)
        return _Look(files, stats, looked_at_ns, check_case(files, folder, description, reader))

    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1), thread_name_prefix="check_case") as pool:
        try:
            for future in as_completed([pool.submit(look, files) for files in cases]):
                yield future.result()
        except BaseException:
            # Without this, an interrupt waits until every case is read.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
