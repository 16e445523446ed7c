"""A checkpoint that is torn, empty or has a flipped bit is never trained on: the fold goes on from an older one."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nnunet_assets_tests.faults.conftest import Prepared
from nnunet_assets_tests.faults.trials import Trial, new_trial, resume_and_check
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # In the tensors, which are most of the file: a bit between the zip's members means nothing.
    content[random.Random(str(path.name)).randrange(len(content) // 4, 3 * len(content) // 4)] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = [tear, empty, flip_a_bit]


class Interrupted:
    """A fold that was killed at a chosen state, which every trial of a module starts from.

    It always comes back to the same place, since the MLflow run is known by it.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self._copy = trial.folder.with_name("copy")
        shutil.copytree(trial.folder, self._copy)

    def restore(self) -> Trial:
        shutil.rmtree(self.trial.folder)
        shutil.copytree(self._copy, self.trial.folder)
        return self.trial


def interrupted(folder: Path, prepared: Prepared, is_so: Callable[[Trial], bool]) -> Interrupted:
    trial = new_trial(folder / "trial", prepared.data, prepared.sibling, prepared.store)
    process = trial.start()
    trial.wait_for(lambda: is_so(trial))
    process.kill()  # the fold's process dies with it, and nobody starts it again
    assert trial.wait(process) == -signal.SIGKILL, trial.output
    return Interrupted(trial)


@pytest.fixture(scope="module")
def in_training(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    """A fold with a `checkpoint_latest.pth` of its own and a `checkpoint_best.pth`."""
    folder = tmp_path_factory.mktemp("in_training")
    yield interrupted(folder, prepared, lambda trial: len(trial.epochs) >= 3 and _has(trial, "latest", "best"))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def in_validation(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    """A fold that is trained and not validated."""
    folder = tmp_path_factory.mktemp("in_validation")
    yield interrupted(folder, prepared, lambda trial: _has(trial, "final"))
    shutil.rmtree(folder)


def _has(trial: Trial, *names: str) -> bool:
    return all((trial.fold_folder() / f"checkpoint_{name}.pth").exists() for name in names)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("names", [("latest",), ("best",), ("latest", "best")], ids="+".join)
def test_a_damaged_checkpoint_is_named_and_the_fold_goes_on_without_it(
    in_training: Interrupted, said: Callable[..., None], names: tuple[str, ...], damage: Callable[[Path], None]
) -> None:
    _damaged_and_finished(in_training.restore(), said, names, damage)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_final_checkpoint_is_named_and_the_fold_goes_on_from_an_older_one(
    in_validation: Interrupted, said: Callable[..., None], damage: Callable[[Path], None]
) -> None:
    _damaged_and_finished(in_validation.restore(), said, ("final",), damage)


def _damaged_and_finished(
    trial: Trial, said: Callable[..., None], names: tuple[str, ...], damage: Callable[[Path], None]
) -> None:
    for name in names:
        damage(trial.fold_folder() / f"checkpoint_{name}.pth")
    figures = resume_and_check(trial, may_repeat=True)
    # The older of two good ones is not looked at.
    is_named = [name for name in names if f"checkpoint_{name}.pth is damaged" in trial.output]
    said(named_as_damaged="+".join(is_named) or "none (a newer one was taken)", **figures)
