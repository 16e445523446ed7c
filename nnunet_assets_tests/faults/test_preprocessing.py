"""Preprocessing that is killed goes on from the cases that are whole, and nothing half-made is ever taken for one.

    NNUNET_ASSETS_PREPROCESSING_KILLS=100 pytest -m faults nnunet_assets_tests/faults/test_preprocessing.py

tries so many random moments, 10 unless told; `NNUNET_ASSETS_FAULT_SEED` draws others.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, is_shown
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, PhantomProject, preprocessed_content, roots_in

pytestmark = pytest.mark.faults

N_KILLS = int(os.environ.get("NNUNET_ASSETS_PREPROCESSING_KILLS", "10"))
SEED = os.environ.get("NNUNET_ASSETS_FAULT_SEED", "0")
N_CASES = 12
FULLRES = ("nnUNetPlans", "3d_fullres")

PREPARE = """
import sys
from pathlib import Path
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import PhantomProject, roots_in
progress = RecordedProgress(lambda sentence: print(sentence, flush=True))
PhantomProject(roots_in(Path(sys.argv[1]))).prepare(progress=progress)
"""


@dataclass(frozen=True)
class Made:
    """A dataset that is planned and not preprocessed, and what becomes of it.

    Attributes:
        folder: The project.
        content: A digest of what each preprocessed file holds.
        seconds: From the start of the process to its end.
    """

    folder: Path
    content: dict[str, str]
    seconds: float


def project_in(folder: Path) -> PhantomProject:
    return PhantomProject(roots_in(folder), n_cases=N_CASES)


def case_set_in(folder: Path) -> CaseSet:
    return PreparedDataset.read(project_in(folder).prepared, FULLRES[0]).case_set(FULLRES[1])


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Starts planning and preprocessing with two workers."""
    with (folder / "prepare.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PREPARE, folder],
            env={**os.environ, "nnUNet_def_n_proc": "2"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("preprocessing")
    project_in(folder).build().prepare()
    found = preprocessed_content(case_set_in(folder).cases)
    forget_cases(folder)
    shutil.copytree(folder, folder.with_name("timed"))
    began = time.monotonic()
    assert start(folder.with_name("timed")).wait(300) == 0
    return Made(folder, found, time.monotonic() - began)


def forget_cases(folder: Path) -> None:
    shutil.rmtree(case_set_in(folder).folder.parent)
    shutil.rmtree(project_in(folder).prepared.plans(FULLRES[0]).cases_folder(FULLRES[1]))
    shutil.rmtree(project_in(folder).prepared.folder / "gt_segmentations")


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Iterator[Path]:
    yield shutil.copytree(made.folder, tmp_path / "trial")
    shutil.rmtree(tmp_path / "trial")


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)


def check_nothing_half_made(folder: Path) -> int:
    """Checks what a kill left, and returns how many cases are whole."""
    case_set = case_set_in(folder)
    assert case_set.damaged() == []  # what is said to be there, is
    if case_set.is_whole:
        return N_CASES
    with pytest.raises(FoldError, match="is not preprocessed"):
        fold_inputs(dataset_of(project_in(folder).roots, EXPERIMENT), EXPERIMENT, "fold_0", "settings")
    assert not project_in(folder).prepared.plans(FULLRES[0]).cases_folder(FULLRES[1]).exists()
    return len(case_set.records())


@pytest.mark.parametrize("number", range(N_KILLS))
def test_preprocessing_that_is_killed_at_any_moment_is_finished_by_the_next_run(
    made: Made, folder: Path, said: Callable[..., None], number: int
) -> None:
    rng = random.Random(f"{SEED} {number}")
    process = start(folder)
    if number % 2:
        n_cases = rng.randint(0, N_CASES - 1)
        wait_until(lambda: case_set_in(folder).n_parts >= n_cases, process)
        time.sleep(rng.uniform(0, 0.05))
    else:
        # Loading nnU-Net is the first half.
        wait_until(lambda: False, process, seconds=rng.uniform(made.seconds / 3, made.seconds * 0.95))
    if process.poll() is not None:
        pytest.skip("it was through before the kill")
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    process.kill()
    process.wait()
    assert living(family) == []
    n_whole = check_nothing_half_made(folder)
    before = {path.name: path.stat().st_mtime_ns for path in case_set_in(folder).cases.glob("*")}
    kept = {name for record in case_set_in(folder).records().values() for name in record.files}
    assert start(folder).wait(300) == 0, (folder / "prepare.log").read_text()
    case_set = case_set_in(folder)
    assert preprocessed_content(case_set.cases) == made.content
    assert all((case_set.cases / name).stat().st_mtime_ns == before[name] for name in kept)
    assert is_shown(case_set, project_in(folder).prepared.plans(FULLRES[0]).cases_folder(FULLRES[1]))
    assert len(list((project_in(folder).prepared.folder / "gt_segmentations").iterdir())) == N_CASES
    said(cases_whole_at_the_kill=n_whole, of=N_CASES)


def test_a_worker_that_the_kernel_kills_costs_its_cases_and_half_the_workers(
    made: Made, folder: Path, said: Callable[..., None]
) -> None:
    process = start(folder)
    wait_until(lambda: case_set_in(folder).n_parts >= 3, process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "multiprocessing.spawn" in " ".join(child.cmdline())
    ]
    assert workers
    workers[0].send_signal(signal.SIGKILL)
    assert process.wait(300) == 0, (folder / "prepare.log").read_text()
    log = (folder / "prepare.log").read_text()
    assert "It is started again with half the worker processes and goes on from what is there (restart 1 of 2)" in log
    output = (project_in(folder).prepared.own / "prepare_nnUNetPlans" / "output.log").read_text()
    lines = [line for line in output.splitlines() if line.startswith("3d_fullres: ")]
    assert lines[-2] == f"3d_fullres: {N_CASES} of {N_CASES} cases, 2 at once."
    assert lines[-1].endswith(f" of {N_CASES} cases, 1 at once.")
    n_again = int(lines[-1].split()[1])
    assert n_again <= N_CASES - 3
    assert preprocessed_content(case_set_in(folder).cases) == made.content
    said(cases_made_before_the_kill=N_CASES - n_again, of=N_CASES)


def test_a_case_that_cannot_be_preprocessed_is_named_and_costs_no_other(made: Made, folder: Path) -> None:
    image = folder / "raw" / DATASET / "imagesTr" / "phantom_001_0000.nii.gz"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    assert start(folder).wait(300) == 1
    log = (folder / "prepare.log").read_text()
    assert "1 cases could not be preprocessed; the others were. phantom_001: RuntimeError: " in log
    assert check_nothing_half_made(folder) == N_CASES - 1
    image.write_bytes(whole)
    assert start(folder).wait(300) == 0
    assert preprocessed_content(case_set_in(folder).cases) == made.content
