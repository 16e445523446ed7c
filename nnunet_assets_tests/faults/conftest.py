"""What the trials share: a prepared dataset, a finished fold, an empty tracking store, and the table at the end."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.faults.trials import SIBLING, Trial, new_trial
from nnunet_assets_tests.training_builders import PhantomProject, roots_in

ROWS = pytest.StashKey[list[str]]()
NO_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer", "MLFLOW_TRACKING_URI")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if rows := config.stash.get(ROWS, []):
        terminalreporter.section("fault trials")
        for row in rows:
            terminalreporter.write_line(row)


@pytest.fixture
def said(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Takes what a trial saw, for the table at the end."""

    def say(**seen: Any) -> None:
        row = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in seen.items())
        request.config.stash.setdefault(ROWS, []).append(f"{request.node.name}: {row}")

    return say


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> Iterator[None]:
    """Neither the developer's folders nor what MLflow sets for its process reach a trial."""
    with environment_without(NO_VARIABLES):
        yield


@dataclass(frozen=True)
class Prepared:
    """What every trial starts from.

    Attributes:
        data: Raw and preprocessed data of 6 cases in 5 folds.
        store: An SQLite store without a run.
        sibling: A finished fold.
        seconds: How long that fold took from the start of its process, undisturbed.
    """

    data: Roots
    store: Path
    sibling: Path
    seconds: float


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("faults")
    project = PhantomProject(roots_in(folder), n_folds=5).build()
    project.prepare()
    store = folder / "empty.db"
    connect(Destination(f"sqlite:///{store}", folder / "artifacts"))
    trial = Trial(folder / "sibling", project.roots)
    (trial.folder / "data").mkdir(parents=True)
    shutil.copy2(store, trial.folder / "data" / "mlflow.db")
    process = trial.start(SIBLING)
    trial.wait_for(trial.trainers)
    began = time.monotonic()
    assert trial.wait(process) == 0, trial.log.read_text()
    return Prepared(project.roots, store, trial.fold_folder(SIBLING), time.monotonic() - began)


@pytest.fixture
def make_trial(prepared: Prepared, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Makes the trial of a test; takes its trainer and variables."""

    def make(name: str = "trial", **changes: Any) -> Trial:
        return new_trial(tmp_path / name, prepared.data, prepared.sibling, prepared.store, **changes)

    yield make
    for folder in tmp_path.iterdir():  # 60 MB each, and there are many
        shutil.rmtree(folder, ignore_errors=True)
