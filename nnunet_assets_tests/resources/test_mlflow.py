"""The resource `mlflow`, made of dagster-mlflow's, in real Dagster runs on a real store."""

import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.resources.mlflow import CONFIG_SCHEMA, mlflow_tracking, run_name
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port, silent

pytestmark = [
    *MLFLOW_WARNINGS,
    # dagster-mlflow and Dagster's own InitResourceContext.replace_config still use these.
    pytest.mark.filterwarnings("ignore:InitResourceContext.(dagster_run|run_id) is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A new store, made once: MLflow takes 2 s for it."""
    folder = tmp_path_factory.mktemp("template")
    connect(Destination(f"sqlite:///{folder}/mlflow.db", folder / "artifacts"))
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: bytes) -> Path:
    """A project folder of its own, for Dagster's files and the store."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mlflow.db").write_bytes(new_store)
    monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    # dagster-mlflow sets this for its process; what a test leaves behind must not reach the next one.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def materialized(*assets: Any, raise_on_error: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    settings = {"experiment_name": "Dataset004_Hippocampus", "env": {}, "extra_tags": {}, **config}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            list(assets),
            resources={"mlflow": mlflow_tracking},
            run_config={"resources": {"mlflow": {"config": settings}}},
            raise_on_error=raise_on_error,
            instance=instance,
        )


def runs(project: Path) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/data/mlflow.db")
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


@dg.asset(required_resource_keys={"mlflow"})
def scored(context: dg.AssetExecutionContext) -> None:
    context.resources.mlflow.log_metric("dice", 0.8)


@dg.asset(required_resource_keys={"mlflow"}, deps=[scored])
def doubled(context: dg.AssetExecutionContext) -> None:
    context.resources.mlflow.log_metric("twice", 1.6)


@dg.asset(required_resource_keys={"mlflow"})
def broken(context: dg.AssetExecutionContext) -> None:
    raise ValueError("no such label")


def test_a_run_of_two_assets_is_one_finished_run_in_the_projects_store(project: Path) -> None:
    assert materialized(scored, doubled).success
    (run,) = runs(project)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"dice": 0.8, "twice": 1.6})
    assert run.info.artifact_uri.startswith((project / "data" / "mlartifacts").as_uri())
    assert not (project / "mlruns").exists()


def test_a_step_that_fails_ends_the_run_as_failed_after_the_others_have_logged(project: Path) -> None:
    assert not materialized(broken, scored, raise_on_error=False).success
    (run,) = runs(project)
    assert (run.info.status, run.data.metrics) == ("FAILED", {"dice": 0.8})


@pytest.mark.parametrize(("asset", "status"), [(scored, "FINISHED"), (broken, "FAILED")])
def test_dagster_mlflows_own_hook_may_be_there_too(project: Path, asset: dg.AssetsDefinition, status: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        from dagster_mlflow import end_mlflow_on_run_finished
    materialized(asset.with_hooks({end_mlflow_on_run_finished}), raise_on_error=False)
    (run,) = runs(project)
    assert run.info.status == status


def test_a_run_that_somebody_terminates_is_killed(project: Path) -> None:
    @dg.asset(required_resource_keys={"mlflow"})
    def stopped(context: dg.AssetExecutionContext) -> None:
        raise KeyboardInterrupt

    materialized(stopped, raise_on_error=False)
    (run,) = runs(project)
    assert run.info.status == "KILLED"


def test_two_dagster_runs_are_two_runs(project: Path) -> None:
    materialized(scored)
    materialized(scored)
    assert [run.info.status for run in runs(project)] == ["FINISHED", "FINISHED"]


def test_a_run_is_named_after_what_it_makes() -> None:
    keys = {dg.AssetKey(["Dataset004_Hippocampus", name]) for name in ("cv_summary", "cv_tables")}
    backfill = dg.DagsterRun("__ASSET_JOB", "1", asset_selection=keys, tags={"dagster/partition": "fold_3"})
    assert run_name(backfill) == "Dataset004_Hippocampus/cv_summary and 1 more fold_3"
    assert run_name(dg.DagsterRun("nightly", "1")) == "nightly"


def test_a_server_that_is_down_fails_the_run_at_once_and_says_why() -> None:
    uri = f"http://me:hunter2@127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(dg.DagsterError) as caught:
        materialized(scored, mlflow_tracking_uri=uri)
    assert time.monotonic() - began < 15
    assert "is not reachable: Connection refused. Start it" in str(caught.value.__cause__)
    assert "hunter2" not in str(caught.value.__cause__)


def test_a_server_that_never_answers_fails_the_run_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with silent() as uri, pytest.raises(dg.DagsterError) as caught:
        materialized(scored, mlflow_tracking_uri=uri)
    assert time.monotonic() - began < 15
    assert "is not reachable: timed out" in str(caught.value.__cause__)


def test_a_server_that_goes_away_before_the_end_does_not_fail_what_was_computed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    @dg.asset(required_resource_keys={"mlflow"})
    def computed(context: dg.AssetExecutionContext) -> None:
        def gone(_status: str) -> None:
            raise MlflowException("API request failed")

        monkeypatch.setattr(context.resources.mlflow, "end_run", gone, raising=False)

    assert materialized(computed).success
    mlflow.end_run()
    assert len(runs(project)) == 1


def test_the_config_is_dagster_mlflows_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        from dagster_mlflow.resources import CONFIG_SCHEMA as THEIRS

    def facts(schema: dict[str, dg.Field]) -> dict[str, tuple[object, ...]]:
        return {
            name: (
                field.config_type.key,
                field.is_required,
                field.default_value if field.default_provided else None,
                field.description,
            )
            for name, field in schema.items()
        }

    assert facts(CONFIG_SCHEMA) == facts(THEIRS)


def test_loading_the_resource_imports_no_mlflow() -> None:
    code = (
        "import sys, nnunet_assets.resources.mlflow; print({'mlflow', 'dagster_mlflow', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
