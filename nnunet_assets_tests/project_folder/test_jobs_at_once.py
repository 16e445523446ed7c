"""The user's number of folds at once, on a machine without a GPU: the pool, the runs, and what stays the user's."""

from pathlib import Path

from nnunet_assets.cli.diagnosis import project_state
from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.files.layout import JOBS_POOL
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.instance_state import pool_limit, runs_at_once, set_pool_limit
from nnunet_assets.project_folder.jobs_at_once import KEPT, jobs_at_once
from nnunet_assets.settings import Settings
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project


def pools(project: Path) -> tuple[int | None, int | None, int | None]:
    """Returns how many folds train here, how many in jobs, and how many runs there may be."""
    return pool_limit(project), pool_limit(project, JOBS_POOL), runs_at_once(project)


def finding(project: Path) -> Finding | None:
    settings = Settings.from_environment(project, {})
    return next(project_state.job_findings(settings), None)


def test_folds_in_jobs_are_as_many_as_declared_whatever_gpus_this_machine_has(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    assert pools(project) == (1, None, 10)
    assert finding(project) is None
    file = project / "engine.yaml"
    for text, n, n_runs in [
        ("kind: slurm\nfolds_at_once: 50\n", 50, 55),
        ("kind: slurm\n", 5, 10),
    ]:
        file.write_text(text)
        assert finding(project).level == "warning"
        ensure_instance(project)
        assert pools(project) == (1, n, n_runs)
        assert finding(project) == Finding("ok", "pool nnunet_jobs", f"folds at once in jobs: {n} (engine.yaml)")
    set_pool_limit(project, 3, JOBS_POOL)
    assert finding(project).found == "folds at once in jobs: 5 (engine.yaml); Dagster lets 3."
    file.write_text("folds_at_once: many\n")
    ensure_instance(project)
    assert pools(project) == (1, 3, 10)


def test_one_experiment_in_jobs_is_enough(tmp_path: Path) -> None:
    experiment = EXPERIMENT.replace("configuration: 2d", "configuration: 3d_fullres")
    write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT, experiment + "  engine: {kind: slurm}\n")})
    (tmp_path / "engine.yaml").write_text("folds_at_once: 7\n")
    assert jobs_at_once(tmp_path) == 7
    (tmp_path / "engine.yaml").write_text("folds_at_once: many\n")
    assert jobs_at_once(tmp_path) is None


def test_a_number_of_runs_that_is_the_users_stays_and_is_told(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    (project / "engine.yaml").write_text("kind: slurm\nfolds_at_once: 20\n")
    settings = project / ".dagster" / "dagster.yaml"
    settings.write_text(settings.read_text().replace(KEPT, "# mine"))
    before = settings.read_text()
    ensure_instance(project)
    assert settings.read_text() == before
    told = finding(project)
    assert told.found == "folds at once in jobs: 20 (engine.yaml); Dagster lets 10 runs go on at once."
    assert told.remedy == f"Set max_concurrent_runs: 25 in {settings}."
