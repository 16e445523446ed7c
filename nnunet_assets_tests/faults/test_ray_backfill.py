"""A whole cross-validation in tasks: five folds that a backfill trains on two nodes of a real Ray, by a real daemon.

    pytest -m faults nnunet_assets_tests/faults/test_ray_backfill.py

The head has no GPU; the nodes count two each, so that four folds train at once and the fifth waits for one of them. One
run worker is killed meanwhile, and its task with it. Skipped where Ray is not installed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nnunet_assets.engines.job_files import read_from_job
from nnunet_assets.engines.ray_cluster.driver_files import TOLD_FILE, RayTold
from nnunet_assets_tests.engines.real_ray import RealRay, lack, real_ray
from nnunet_assets_tests.faults.backfill_trial import FOLDS, BackfillTrial, backfill_of, served_in_jobs
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS, pytest.mark.timeout(1800)]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRay]:
    if reason := lack():
        pytest.skip(reason)
    with real_ray() as found:
        found.add_node("n2")
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield found


def states(backfill: BackfillTrial) -> Counter[str]:
    """Returns how many tasks are in which state, as their drivers have it."""
    folders = [job for place in backfill.places.values() for job in place.own.glob("jobs/*")]
    return Counter(told.state for folder in folders if (told := read_from_job(RayTold, folder / TOLD_FILE)))


def test_five_folds_on_two_nodes_by_a_backfill(ray: RealRay, tmp_path: Path, said: Callable[..., None]) -> None:
    engine = f"kind: ray\naddress: {ray.address}\ngpus: 1\ncpus: 4\nmemory_gb: 0.5\n"
    with (
        served_in_jobs(tmp_path / "project", engine) as project,
        backfill_of(project, tmp_path / "backfill.log") as backfill,
    ):
        backfill.wait_for(lambda: (found := states(backfill))["RUNNING"] == 4 and found["PENDING"] == 1, 600)
        every = backfill.seconds
        killed = backfill.one_in_training()
        backfill.kill_worker(killed)

        backfill.wait_until_done()
        seconds = backfill.seconds
        nodes, n_jobs = backfill.check_finished()
        assert len(list(backfill.places[killed].own.glob("jobs/*"))) == 2

    assert len(nodes) == 2
    # Of the killed run's fold the next run began another.
    assert n_jobs == len(FOLDS) + 1
    said(
        four_tasks_and_one_that_waits_after=f"{every:.0f} s",
        whole=f"{seconds:.0f} s",
        tasks=n_jobs,
        nodes=dict(nodes),
    )
