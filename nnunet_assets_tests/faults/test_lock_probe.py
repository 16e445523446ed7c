"""`doctor --probe` has a job of a real Slurm, and a task of a real Ray, try locks."""

from pathlib import Path

import pytest

from nnunet_assets.cli.diagnosis.locks import lock_findings
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.progress import SILENT
from nnunet_assets.settings import project_settings
from nnunet_assets_tests.engines import real_ray
from nnunet_assets_tests.engines.real_slurm import lack, real_slurm

pytestmark = pytest.mark.faults
needs_slurm = pytest.mark.skipif(lack() is not None, reason=str(lack()))


@needs_slurm
def test_a_job_of_slurm_tries_the_locks_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = init_project(tmp_path / "project")
    (project / "engine.yaml").write_text("kind: slurm\ncpus: 2\n")
    with real_slurm() as slurm:
        for name, value in slurm.variables.items():
            monkeypatch.setenv(name, value)
        settings = project_settings(project)
        untried = list(lock_findings(settings, SILENT, on_engine=False))
        assert [one.level for one in untried] == ["ok", "ok"]
        assert "doctor --probe" in untried[1].found

        here, there = lock_findings(settings, SILENT, on_engine=True)

        assert here.what == "locks"
        # Both nodes are this machine, which is said.
        assert (there.what, there.level) == ("locks by slurm", "ok")
        assert there.found.startswith("they keep two processes of this machine apart in ")
        slurm.wait_until_idle()
    assert not [path for path in project.iterdir() if "probe" in path.name]


@needs_slurm
def test_a_queue_that_takes_no_job_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = init_project(tmp_path / "project")
    (project / "engine.yaml").write_text("kind: slurm\npartition: nowhere\n")
    with real_slurm() as slurm:
        for name, value in slurm.variables.items():
            monkeypatch.setenv(name, value)
        _, there = lock_findings(project_settings(project), SILENT, on_engine=True)
    assert there.level == "error"
    assert "invalid partition" in there.found


@pytest.mark.skipif(real_ray.lack() is not None, reason=str(real_ray.lack()))
def test_a_task_of_ray_tries_the_locks_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = init_project(tmp_path / "project")
    with real_ray.real_ray() as ray:
        for name, value in ray.variables.items():
            monkeypatch.setenv(name, value)
        (project / "engine.yaml").write_text(f"kind: ray\naddress: {ray.address}\ncpus: 2\n")
        _, there = lock_findings(project_settings(project), SILENT, on_engine=True)
    assert (there.what, there.level) == ("locks by ray", "ok")
    assert there.found.startswith("they keep two processes of this machine apart in ")
    assert not [path for path in project.iterdir() if "probe" in path.name]
