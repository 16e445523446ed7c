"""Preprocesses cases by nnU-Net's own preprocessor, each into a work folder of its own; runs in the planning process.

What nnU-Net's own loop does otherwise: it deletes its output first, makes every case again, and leaves half of one
where it is killed.
"""

import multiprocessing
import os
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.cases.case_check import CompanionDigest, case_sha256
from nnunet_assets.nnunet.prepared.case_records import FileRecord
from nnunet_assets.nnunet.prepared.case_sets import CaseSet
from nnunet_assets.processes.child import ChildFailure, die_with_parent
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.failures import explain


@dataclass(frozen=True)
class CaseJob:
    """One case to preprocess.

    Attributes:
        case: Its id.
        raw: Digest of its raw files, by which the result is kept.
        looked_at: Digest of its raw files as they were looked at; None: the record, an older version's, does not say.
        images: Files by channel.
        label: The label image's file.
        plans_file: nnU-Net's plans.
        configuration: The configuration to preprocess for.
        description: The content of dataset.json.
        set_folder: Of the set that takes the case.
        companions: The files beside images and label as they were looked at (`companion_files`).
    """

    case: str
    raw: str
    looked_at: str | None
    images: tuple[str, ...]
    label: str
    plans_file: Path
    configuration: str
    description: Mapping[str, Any]
    set_folder: Path
    companions: Sequence[CompanionDigest] = ()

    @property
    def reference(self) -> str:
        """What nnU-Net calls the label image among the references."""
        return self.case + str(self.description["file_ending"])

    def label_as_looked_at(self) -> FileRecord:
        """Returns what the label image is now; to be asked before and after the raw files are read.

        Raises:
            ChildFailure: The raw files are not those that were looked at.
        """
        try:
            label = FileRecord.of(Path(self.label))
            images = [file_sha256(Path(image)) for image in self.images]
            beside = [(of, path, _sha256_or_none(Path(path))) for of, path, _ in self.companions]
        except FileNotFoundError as error:
            raise self.changed() from error
        # By the first scheme, which names some cases still, or by the second (`digest_schemes`).
        names = {None, case_sha256(images, label.sha256), case_sha256(images, label.sha256, beside)}
        if self.looked_at not in names or beside != [tuple(one) for one in self.companions]:
            raise self.changed()
        return label

    def references(self) -> dict[str, FileRecord]:
        """Returns what the label image and the files beside it are now, by their names among the references.

        Raises:
            ChildFailure: As `label_as_looked_at`.
        """
        label = self.label_as_looked_at()
        return {self.reference: label, **{name: FileRecord.of(path) for name, path in self.beside_reference().items()}}

    def beside_reference(self) -> dict[str, Path]:
        """Returns the files beside the label image by their names among the references.

        A TIFF's sidecar is named after it; other files are named in the label image.
        """
        is_tiff = self.label.lower().endswith((".tif", ".tiff"))
        sidecar = self.case + ".json"
        beside = (Path(path) for of, path, sha256 in self.companions if of == "label" and sha256)
        return {sidecar if is_tiff else path.name: path for path in beside}

    def changed(self) -> ChildFailure:
        """Returns the error of raw files that are not those that were looked at."""
        return ChildFailure(
            ExitCode.CHANGED_INPUT,
            f"{self.case}: its files ({self.label} and its images) were changed after the raw data was looked at. Look "
            "again when nothing writes there: materialize raw_dataset, or run `nnunet-assets check`.",
        )


def _sha256_or_none(path: Path) -> str | None:
    return file_sha256(path) if path.is_file() else None


def make_cases(jobs: Sequence[CaseJob], n_processes: int) -> None:
    """Preprocesses cases, several at once; one that fails does not keep the others from being made.

    Raises:
        ChildFailure: A process was killed; or cases failed, and the message says which and why.
    """
    failures: dict[str, BaseException] = {}
    with _executor(min(n_processes, len(jobs))) as executor:
        futures = {executor.submit(_make_case, job): job for job in jobs}
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise ChildFailure(
                    ExitCode.OUT_OF_MEMORY,
                    "A process that preprocessed was killed, most often because the machine ran out of memory.",
                ) from error
            if error is not None:
                traceback.print_exception(error)
                failures[futures[future].case] = error
    if failures:
        _refuse(failures)


def make_cases_by_nnunet(jobs: Sequence[CaseJob], n_processes: int) -> None:
    """Preprocesses the dataset by a preprocessor's own loop, into nnU-Net's folder, and takes from there what is asked.

    Raises:
        ChildFailure: The loop left no file of a case.
    """
    for job in jobs:
        job.label_as_looked_at()
    job = jobs[0]
    plans, configuration = _plans_manager(job.plans_file), job.configuration
    shown = job.plans_file.parent / plans.get_configuration(configuration).data_identifier
    _preprocessor(job.plans_file, configuration).run(
        plans.dataset_name, configuration, job.plans_file.stem, num_processes=n_processes
    )
    case_set = CaseSet(job.set_folder)
    by_length = sorted((job.case for job in jobs), key=len, reverse=True)
    for job in jobs:
        work = case_set.work_folder(job.case)
        for path in shown.iterdir():
            if next((case for case in by_length if path.name.startswith((f"{case}.", f"{case}_"))), None) == job.case:
                path.replace(work / path.name)
        if not any(work.iterdir()):
            raise ChildFailure(ExitCode.BUG, f"The preprocessor left no file of the case {job.case} in {shown}.")
        case_set.take(job.case, job.raw, work, job.references())


def has_own_loop(plans_file: Path, configuration: str) -> bool:
    """Says whether the configuration's preprocessor replaces nnU-Net's loop over the cases by one of its own."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    return type(_preprocessor(plans_file, configuration)).run is not DefaultPreprocessor.run


def _executor(n_processes: int) -> Executor:
    if n_processes <= 1:
        return ThreadPoolExecutor(1)  # not another process, which would load torch anew
    return ProcessPoolExecutor(
        n_processes,
        # As nnU-Net does: torch's threads do not survive a fork.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with_parent,
        initargs=(os.getpid(),),
    )


def _make_case(job: CaseJob) -> None:
    case_set = CaseSet(job.set_folder)
    work = case_set.work_folder(job.case)
    plans = _plans_manager(job.plans_file)
    job.label_as_looked_at()
    _preprocessor(job.plans_file, job.configuration).run_case_save(
        str(work / job.case),
        list(job.images),
        job.label,
        plans,
        plans.get_configuration(job.configuration),
        job.description,
    )
    case_set.take(job.case, job.raw, work, job.references())


@cache
def _plans_manager(plans_file: Path) -> Any:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    return PlansManager(str(plans_file))


def _preprocessor(plans_file: Path, configuration: str) -> Any:
    return _plans_manager(plans_file).get_configuration(configuration).preprocessor_class(verbose=False)


def _refuse(failures: Mapping[str, BaseException]) -> None:
    codes = [_code_of(error) for error in failures.values()]
    first = (ExitCode.OUT_OF_MEMORY, ExitCode.NO_SPACE, ExitCode.CHANGED_INPUT)
    code = next((code for code in first if code in codes), codes[0])
    sentences = [
        str(error) if isinstance(error, ChildFailure) else f"{case}: {type(error).__name__}: {error}"
        for case, error in sorted(failures.items())
    ]
    raise ChildFailure(
        code, f"{len(failures)} cases could not be preprocessed; the others were. {first_offenders(sentences)}"
    )


def _code_of(error: BaseException) -> ExitCode:
    return error.code if isinstance(error, ChildFailure) else explain(error, "")[0]
