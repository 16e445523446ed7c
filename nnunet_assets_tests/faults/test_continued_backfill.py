"""Folds and what continues them, asked for together, out of order, and after a run worker was killed between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import Manifest, read_committed
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.nnunet.checkpoints.checkpoints import FINAL
from nnunet_assets.settings import Settings
from nnunet_assets_tests.dagster_dev import DagsterDev, dagster_dev
from nnunet_assets_tests.faults.test_backfill_kills import kill_run_worker
from nnunet_assets_tests.phantom_builders import DATASET, PREPARATION, phantom_project, variant
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults]

N_EPOCHS, N_ALL = 3, 12
SHORT, LONGER = (Experiment(DATASET, "3d_fullres", variant=name) for name in ("short", "longer"))
FAILURES = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
    __typename ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } } } } } } }"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = variant("short", num_epochs=N_EPOCHS, num_iterations_per_epoch=2)
    longer: dict[str, Any] = variant("longer", num_epochs=N_ALL, num_iterations_per_epoch=2)
    longer["variant"]["continues"] = "short"
    return phantom_project(tmp_path_factory.mktemp("continued") / "project", [short, longer])


@pytest.fixture(scope="module")
def dev(project: Path) -> Iterator[DagsterDev]:
    with dagster_dev(project) as dev:
        preparation = dev.launch(*PREPARATION)
        dev.wait_for("the end of the preparation", lambda: has_ended(dev, preparation), 400)
        assert dev.status(preparation) == "SUCCESS"
        yield dev


def key(experiment: Experiment) -> tuple[str, ...]:
    return (*experiment.key_prefix, "fold_model")


def folder_of(project: Path, experiment: Experiment, fold: str) -> Path:
    return experiment.fold_folder(Settings.from_environment(project, {}).roots, fold)


def epochs(folder: Path) -> list[Any]:
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def said_of(dev: DagsterDev, run_id: str) -> str:
    events = dev.query(FAILURES, id=run_id)["runOrError"]["eventConnection"]["events"]
    return str([event for event in events if event["__typename"] == "ExecutionStepFailureEvent"])


def has_ended(dev: DagsterDev, run_id: str) -> bool:
    return dev.status(run_id) in ("SUCCESS", "FAILURE", "CANCELED")


def finished_after(project: Path, fold: str) -> tuple[Manifest, Manifest]:
    """Returns the manifests of a fold and of the one that went on with it, of which each epoch is there once."""
    places = [folder_of(project, one, fold) for one in (SHORT, LONGER)]
    assert [epochs(place) for place in places] == [list(range(N_EPOCHS)), list(range(N_ALL))]
    before, after = (read_committed(place, check_files=True) for place in places)
    assert before
    assert after
    assert after.details[CONTINUES]["checkpoint_sha256"] == before.files[FINAL]
    return before, after


def test_one_backfill_trains_a_fold_and_goes_on_with_it_though_its_worker_is_killed(
    project: Path, dev: DagsterDev
) -> None:
    dev.backfill(key(SHORT), key(LONGER), partitions=["fold_0"])
    place = folder_of(project, LONGER, "fold_0")
    dev.wait_for("a continuation", lambda: len(epochs(place)) > N_EPOCHS + 1, 500)
    first = read_committed(folder_of(project, SHORT, "fold_0"))
    kill_run_worker(place)
    dev.wait_for("its end", lambda: read_committed(place), 500)

    before, _ = finished_after(project, "fold_0")
    assert before == first  # the run that went on did not train it again
    runs = dev.wait_for(
        "the end of all runs",
        lambda: (
            (found := dev.runs(dagster__partition="fold_0"))
            and all(has_ended(dev, run["runId"]) for run in found)
            and found
        ),
        90,
    )
    # A run trains both, one after the other: Dagster puts a partition and what follows from it into one.
    assert [run["status"] for run in runs] == ["SUCCESS", "FAILURE"]


def test_a_continuation_that_is_asked_for_first_is_refused_and_trained_when_asked_again(
    project: Path, dev: DagsterDev
) -> None:
    early = dev.launch(key(LONGER), partition="fold_1")
    dev.wait_for("the end of the early run", lambda: has_ended(dev, early))
    assert dev.status(early) == "FAILURE"
    assert "is to be continued and is not finished (it was not begun). Train it first" in said_of(dev, early)
    assert not folder_of(project, LONGER, "fold_1").exists()

    dev.launch(key(SHORT), partition="fold_1")
    dev.wait_for("a fold that trains", lambda: epochs(folder_of(project, SHORT, "fold_1")), 400)
    meanwhile = dev.launch(key(LONGER), partition="fold_1")
    dev.wait_for("its end", lambda: has_ended(dev, meanwhile), 400)
    assert dev.status(meanwhile) == "SUCCESS", said_of(dev, meanwhile)  # it waited for the one place in the pool
    finished_after(project, "fold_1")
