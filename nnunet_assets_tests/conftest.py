"""What holds for every test."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from nnunet_assets.nnunet.preparation import planning
from nnunet_assets.nnunet.preparation.planning_process import prepare_dataset
from nnunet_assets.processes.child import end_workers_in_silence
from nnunet_assets_tests.alembic_revisions import revisions_loaded_once
from nnunet_assets_tests.caught_logs import caplog
from nnunet_assets_tests.copied_instances import copied_instances, instances_made_by_dagster
from nnunet_assets_tests.fakes.mlflow_client import stores_in_memory
from nnunet_assets_tests.made_once import made_once
from nnunet_assets_tests.nnunet_in_process import child_in_process
from nnunet_assets_tests.side_by_side import MADE_ONCE
from nnunet_assets_tests.tracked_projects import (
    copied_stores,
    new_store,
    own_environment,
    tracked,
    tracked_template,
    with_store,
)
from nnunet_assets_tests.training_builders import FOLDS, PhantomProject, roots_in
from nnunet_assets_tests.warm_python import nnunet_starts_warm

__all__ = [
    "caplog",
    "copied_instances",
    "copied_stores",
    "instances_made_by_dagster",
    "new_store",
    "nnunet_starts_warm",
    "own_environment",
    "revisions_loaded_once",
    "stores_in_memory",
    "tracked",
    "tracked_template",
    "with_store",
]

# A shared machine is slow now and then: a timing is no property of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A shell that runs the tests in the background has SIGINT ignored. Dagster gives SIGTERM what SIGINT has; what tests
# start inherits that, and pools that nnU-Net ends by SIGTERM would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Dagster gives SIGTERM a handler in Python too, which workers of pools that tests fork would have.
end_workers_in_silence()

# Test processes and what they start share the cores: threads that wait for each other double what a training costs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MATPLOTLIBRC", str(Path(__file__).with_name("matplotlibrc")))

# Whatever is imported and collected stays: a round of the garbage collector would walk it all, and find nothing.
gc.disable()

# Beside more test processes than there are processors, a refresh of Dagster's, which gives way, would wait for ever.
if MADE_ONCE in os.environ:
    from nnunet_assets.resources.project_folder import REFRESH_NICENESS

    os.setpriority(os.PRIO_PROCESS, 0, max(REFRESH_NICENESS - 1, os.getpriority(os.PRIO_PROCESS, 0)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the folder in which every test is one of the `faults`, where these are: it imports Ray, for one."""
    is_theirs = collection_path == Path(__file__).with_name("faults")
    return True if is_theirs and "not faults" in config.option.markexpr else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has one file end: its audit hook stays in the process, and costs each test after it a twentieth."""
    items.sort(key=lambda item: item.path.name == "test_any_input.py")


def pytest_collection_finish() -> None:
    """Takes what was imported and collected out of the garbage collector's rounds, each of which would walk it all."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session")
def prepared_phantom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    """A phantom of 6 cases in 2 folds, planned and preprocessed by real nnU-Net: to be copied, not to be changed.

    Its networks are narrow, but for the trials that kill what they train: those need the time that it takes.
    """
    with made_once(tmp_path_factory, "prepared_phantom") as (folder, is_new):
        project = PhantomProject(roots_in(folder))
        if is_new:
            # No augmentation workers: that number is nnU-Net's planner's for its threads, of which there must be one.
            alone = {**project.environment, "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0"}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(planning, "run_child", child_in_process(prepare_dataset))
                assert project.build().prepare(environment=alone).made == ("plans", "3d_fullres")
            if "not faults" in request.config.option.markexpr:
                project.narrow()
    return project


@pytest.fixture(scope="session")
def trained_phantom(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: PhantomProject) -> PhantomProject:
    """The prepared phantom, both folds of which real nnU-Net trained for 3 epochs: to be copied, not to be changed."""
    with made_once(tmp_path_factory, "trained_phantom") as (folder, is_new):
        if is_new:
            project = prepared_phantom.copy_to(folder)
            assert all(project.train(fold).is_new for fold in FOLDS)
    return PhantomProject(roots_in(folder))
