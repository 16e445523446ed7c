"""An ensemble whose making is killed at any moment is made by the next starts: no mask is torn, none made twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets_tests.ensemble_builders import OTHER, add_member
from nnunet_assets_tests.faults.one_ensemble import NAME
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

pytestmark = [pytest.mark.faults]

N_KILLS = 20
ENSEMBLE = Experiment.ensemble(DATASET, NAME)


@dataclass(frozen=True)
class Undisturbed:
    """Two members; and what their ensemble is, where nobody disturbs its making.

    Attributes:
        project: The members, without the ensemble.
        masks: By path below the ensemble's folder.
        seconds: How long it took.
    """

    project: PhantomProject
    masks: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(trained_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    project = trained_phantom.copy_to(tmp_path_factory.mktemp("members"))
    add_member(project.roots)
    alone = project.copy_to(tmp_path_factory.mktemp("undisturbed"))
    began = time.monotonic()
    assert start(alone).wait() == 0
    masks = masks_of(alone.roots)
    assert len(masks) == 6
    return Undisturbed(project, masks, time.monotonic() - began)


def start(project: PhantomProject) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "nnunet_assets_tests.faults.one_ensemble", str(project.roots.results.parent)]
    return subprocess.Popen(command)


def masks_of(roots: Roots) -> dict[str, bytes]:
    folder = ENSEMBLE.model_folder(roots)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("fold_*/validation/*.nii.gz")}


def done_in(roots: Roots) -> dict[Path, int]:
    """Returns what is whole, with its time: recorded probabilities, and masks that have their name."""
    found: list[Path] = []
    for member in (EXPERIMENT, OTHER):
        for manifest in member.summary_folder(roots).glob("probabilities/*/probabilities.json"):
            found += [manifest.parent / f"{case}.npz" for case in json.loads(manifest.read_text())]
    for fold in FOLDS:
        folder = ENSEMBLE.fold_folder(roots, fold)
        if read_json(folder / OWN_FOLDER / "made_from.json"):
            found += folder.glob("validation/*.nii.gz")
    return {path: path.stat().st_mtime_ns for path in found if path.exists()}


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)


def kill_child(process: "subprocess.Popen[bytes]") -> None:
    """Kills the process that predicts or makes masks, where there is one; its parent starts it again."""
    for child in psutil.Process(process.pid).children():
        child.kill()


@pytest.mark.parametrize("kill", [kill_all, kill_child])
def test_killed_at_random_moments_it_is_made_all_the_same(
    undisturbed: Undisturbed, tmp_path: Path, kill: Callable[["subprocess.Popen[bytes]"], None]
) -> None:
    project = undisturbed.project.copy_to(tmp_path)
    rng = random.Random(kill.__name__)
    n_kills = 0
    while n_kills < N_KILLS and not is_finished(project.roots):
        before = done_in(project.roots)
        process = start(project)
        until = time.monotonic() + rng.uniform(0, undisturbed.seconds)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        if process.poll() is None:
            n_kills += 1
            children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
            kill(process)
            process.wait()
            assert living(children) == []
        after = done_in(project.roots)
        again = [path.name for path in before.keys() & after.keys() if before[path] != after[path]]
        assert again == [], "made twice"
        finished = {fold for fold in FOLDS if FinishedFold.read(ENSEMBLE.fold_folder(project.roots, fold))}
        lost = before.keys() - after.keys()
        assert [path for path in lost if path.suffix != ".npz" or path.parent.name not in finished] == []
        # What has its name is whole, whenever the kill came.
        assert masks_of(project.roots).items() <= undisturbed.masks.items()
    assert n_kills > 0
    assert start(project).wait() == 0
    assert is_finished(project.roots)
    assert masks_of(project.roots) == undisturbed.masks
    assert not [*project.roots.results.rglob("*.npz")]


def is_finished(roots: Roots) -> bool:
    return all(FinishedFold.read(ENSEMBLE.fold_folder(roots, fold)) for fold in FOLDS)
