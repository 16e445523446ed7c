"""A whole cross-validation in jobs: five folds that a backfill trains on two nodes of a real Slurm, by a real daemon.

    pytest -m faults nnunet_assets_tests/faults/test_slurm_backfill.py

The login node has no GPU; the nodes count two each, so that four folds train at once and the fifth waits for one of
them. One run worker is killed meanwhile. Skipped where Slurm is not installed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nnunet_assets_tests.engines.real_slurm import RealSlurm, lack, real_slurm
from nnunet_assets_tests.faults.backfill_trial import FOLDS, VARIANT, backfill_of, served_in_jobs
from nnunet_assets_tests.phantom_builders import DATASET
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS, pytest.mark.timeout(1800)]

ENGINE = "kind: slurm\ngpus: 1\ncpus: 4\nmemory_gb: 2\ntime_limit_minutes: 30\n"


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSlurm]:
    if reason := lack():
        pytest.skip(reason)
    with real_slurm() as found:
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield found


def test_five_folds_on_two_nodes_by_a_backfill(slurm: RealSlurm, tmp_path: Path, said: Callable[..., None]) -> None:
    with (
        served_in_jobs(tmp_path / "project", ENGINE) as project,
        backfill_of(project, tmp_path / "backfill.log") as backfill,
    ):
        backfill.wait_for(lambda: len(slurm.jobs("RUNNING")) == 4 and len(slurm.jobs("PENDING")) == 1, 600)
        every = backfill.seconds
        killed = backfill.one_in_training()

        # What another one asks for meanwhile is refused in words, and nothing is moved.
        again = project.command("backfill", "--retrain", "--project", str(project.folder))
        assert again.returncode == 1
        assert "at work already, and nothing was begun" in again.stderr
        backfill.kill_worker(killed)
        train = [DATASET, "3d_fullres", killed.removeprefix("fold_"), "--project", str(project.folder)]
        beside = project.command("train", *train, "--variant", VARIANT, "--retrain")
        assert beside.returncode == 1
        assert "by another process" in beside.stderr or "is to be trained anew. Nothing is moved" in beside.stderr

        backfill.wait_until_done()
        seconds = backfill.seconds
        slurm.wait_until_idle()
        nodes, n_jobs = backfill.check_finished()

    assert set(nodes) == {"n1", "n2"}
    assert n_jobs == len(FOLDS)
    said(
        four_jobs_and_one_that_waits_after=f"{every:.0f} s",
        whole=f"{seconds:.0f} s",
        jobs=n_jobs,
        nodes=dict(nodes),
    )
