"""The resource `mlflow`, in real Dagster runs on a real store."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.resources.mlflow import (
    OF_DAGSTER_MLFLOW,
    MlflowResource,
    destination_in,
    destination_of,
    experiment_name,
    run_name,
)
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store import sqlite_store
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.started_at_once import WITH_STORES, run_at_once
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port, silent

pytestmark = [
    *MLFLOW_WARNINGS,
    # dagster-mlflow and Dagster's own InitResourceContext.replace_config still use these.
    pytest.mark.filterwarnings("ignore:InitResourceContext.(dagster_run|run_id) is deprecated:DeprecationWarning"),
]


N_AT_ONCE = 2
FIRST_USE = """
import dagster as dg
from nnunet_assets.resources.mlflow import MlflowResource

@dg.asset(required_resource_keys={"mlflow"})
def scored(context):
    context.resources.mlflow.log_metric("dice", 0.8)

dg.materialize([scored], resources={"mlflow": MlflowResource()}, instance=dg.DagsterInstance.ephemeral())
"""


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


def materialized(
    *assets: Any,
    raise_on_error: bool = True,
    mlflow: Any = None,
    config: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            list(assets),
            resources={"project": ProjectResource(folder=str(Path.cwd())), "mlflow": mlflow or MlflowResource()},
            run_config={"resources": {"mlflow": {"config": config}}} if config else None,
            raise_on_error=raise_on_error,
            instance=instance,
        )


def runs(project: Path, store: str = "mlflow.db") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/data/{store}")
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


@dg.asset(required_resource_keys={"mlflow"})
def scored(context: dg.AssetExecutionContext) -> None:
    context.resources.mlflow.log_metric("dice", 0.8)


@dg.asset
def ours(context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]) -> None:
    """Stands for the assets of this package: it asks where tracking goes, and for no run."""
    destination = destination_of(mlflow, project.settings)
    shown = [destination.tracking_uri, destination.experiment_of("Dataset004_Hippocampus"), destination.takes_files]
    context.add_output_metadata({"shown": shown})


def shown_by_ours(result: dg.ExecuteInProcessResult) -> Any:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == ours.key]
    return event.materialization.metadata["shown"].value


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
        materialized(scored, mlflow=MlflowResource(mlflow_tracking_uri=uri))
    assert time.monotonic() - began < 15
    assert "is not reachable: Connection refused. Start it" in str(caught.value.__cause__)
    assert "hunter2" not in str(caught.value.__cause__)


def test_a_server_that_never_answers_fails_the_run_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with silent() as uri, pytest.raises(dg.DagsterError) as caught:
        materialized(scored, mlflow=MlflowResource(mlflow_tracking_uri=uri))
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


def test_a_run_config_for_dagster_mlflow_fits() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        from dagster_mlflow.resources import CONFIG_SCHEMA

    assert set(CONFIG_SCHEMA) == set(OF_DAGSTER_MLFLOW)


def test_what_a_run_config_says_of_a_users_run_is_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TAG", "v1")
    monkeypatch.setenv("CENTRE", "")
    config = {"experiment_name": "mine", "env": {"CENTRE": "Bern"}, "env_to_tag": ["IMAGE_TAG"]}
    assert materialized(scored, config={**config, "extra_tags": {"who": "me"}}).success
    (run,) = runs(project)
    assert [run.data.tags[name] for name in ("IMAGE_TAG", "who")] == ["v1", "me"]
    assert os.environ["CENTRE"] == "Bern"
    assert experiment_names(project) == {"Default", "mine"}


def experiment_names(project: Path) -> set[str]:
    client = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "artifacts"))
    return {experiment.name for experiment in client.search_experiments()}


def test_assets_of_one_dataset_are_tracked_beside_its_folds() -> None:
    def named(*prefixes: str) -> str:
        keys = {dg.AssetKey([prefix, "exported"]) for prefix in prefixes}
        return experiment_name(dg.DagsterRun("job", "1", asset_selection=keys))

    assert named("Dataset004_Hippocampus") == "Dataset004_Hippocampus"
    assert named("Dataset004_Hippocampus", "Dataset005_Prostate") == "nnunet_assets"
    assert experiment_name(None) == "nnunet_assets"


def test_the_packages_own_assets_open_no_run_and_no_store(project: Path) -> None:
    (project / "data" / "mlflow.db").unlink()
    assert shown_by_ours(materialized(ours)) == [f"sqlite:///{project}/data/mlflow.db", "Dataset004_Hippocampus", True]
    assert not (project / "data" / "mlflow.db").exists()


def test_it_is_configured_once_for_the_packages_own_assets_and_the_users(project: Path) -> None:
    elsewhere = f"sqlite:///{project}/data/other.db"
    (project / "data" / "other.db").write_bytes((project / "data" / "mlflow.db").read_bytes())
    resource = MlflowResource(mlflow_tracking_uri=elsewhere, experiment_name="Everything")
    assert shown_by_ours(materialized(ours, scored, mlflow=resource)) == [elsewhere, "Everything", True]
    assert runs(project) == []
    (run,) = runs(project, "other.db")
    assert run.data.metrics == {"dice": 0.8}


def test_a_server_that_is_down_fails_a_users_step_and_not_the_packages_own() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    result = materialized(ours, scored, mlflow=MlflowResource(mlflow_tracking_uri=uri), raise_on_error=False)
    failed = [event for event in result.all_events if event.is_step_failure]
    assert [event.node_name for event in failed] == ["scored"]
    assert "is not reachable: Connection refused" in str(failed[0].step_failure_data.error)
    assert shown_by_ours(result) == [uri, "Dataset004_Hippocampus", True]


def test_files_go_elsewhere_only_where_settings_or_resource_say_so() -> None:
    settings, uri = Settings.from_environment(), "https://mlflow.example.org"
    assert not MlflowResource(mlflow_tracking_uri=uri).destination(settings).takes_files
    assert MlflowResource(mlflow_tracking_uri=uri, share_files=True).destination(settings).takes_files


@pytest.mark.parametrize(
    ("resource", "page"),
    [
        (MlflowResource(), "http://127.0.0.1:5000"),
        (MlflowResource(mlflow_tracking_uri="https://mlflow.example.org"), "https://mlflow.example.org"),
        (MlflowResource(ui="https://pages.example.org"), "https://pages.example.org"),
    ],
)
def test_the_link_to_a_run_is_where_a_browser_finds_it(resource: MlflowResource, page: str) -> None:
    found = resource.destination(Settings.from_environment())
    assert found.run_url("1", "a") == f"{page}/#/experiments/1/runs/a"


def test_another_librarys_resource_says_where_tracking_goes() -> None:
    class Theirs:
        tracking_uri = "https://mlflow.example.org"
        experiment_name = "theirs"

    settings = Settings.from_environment()
    found = destination_of(Theirs(), settings)
    assert (found.tracking_uri, found.experiment_of("Dataset004_Hippocampus")) == (Theirs.tracking_uri, "theirs")
    assert destination_of(object(), settings) == Destination.of(settings)


def test_a_sensor_learns_it_without_making_another_librarys_resource() -> None:
    @dg.resource
    def opens_a_run(_context: dg.InitResourceContext) -> None:
        raise AssertionError("a sensor has no run")

    settings = Settings.from_environment()
    mine = dg.Definitions(resources={"mlflow": MlflowResource(mlflow_tracking_uri="https://mlflow.example.org")})
    theirs = dg.Definitions(resources={"mlflow": opens_a_run})
    assert destination_in(mine.get_repository_def(), settings).tracking_uri == "https://mlflow.example.org"
    assert destination_in(theirs.get_repository_def(), settings) == Destination.of(settings)
    assert destination_in(None, settings) == Destination.of(settings)


def test_a_first_use_makes_the_store_as_everybody_here_does(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = project / "data" / "mlflow.db"
    database.unlink()
    made: list[tuple[Path, bool]] = []
    make = sqlite_store._make
    monkeypatch.setattr(sqlite_store, "_make", lambda it: made.append((it, it.exists())) or make(it))
    assert materialized(scored).success
    # Nothing opened it before; `tracking.store.test_client` has several processes make it in one moment.
    assert made == [(database, False)]
    assert [run.info.status for run in runs(project)] == ["FINISHED"]


@pytest.mark.faults
def test_processes_that_use_it_first_all_at_once_all_get_their_run(project: Path) -> None:
    (project / "data" / "mlflow.db").unlink()
    run_at_once(N_AT_ONCE, FIRST_USE, imports=f"{WITH_STORES}\nimport dagster, dagster_mlflow")
    assert [run.info.status for run in runs(project)] == ["FINISHED"] * N_AT_ONCE
    assert not list((project / "data").glob(".mlflow.db*"))
