import os
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.diagnosis.daemon import daemon_findings
from nnunet_assets.cli.main import main
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.files.layout import TRAINING_POOL
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.dagster_home import (
    count_gpus,
    ensure_instance,
    open_instance,
    pool_limit,
    runs_elsewhere,
    set_pool_limit,
)
from nnunet_assets.settings import Settings


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver's program in the path, whose output and exit a test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


TWO_GPUS = (
    "echo 'GPU 0: NVIDIA A100 (UUID: GPU-a)'; echo '  MIG 1g.5gb Device 0: (UUID: MIG-b)'; echo 'GPU 1: NVIDIA A100'"
)


@pytest.mark.parametrize(
    ("visible", "n"),
    [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,1", 2), ("0,1,2,3", 2), ("GPU-a", 1), ("0,-1,1", 1)],
)
def test_gpus_are_those_of_the_driver_that_are_visible(nvidia_smi: Path, visible: str | None, n: int) -> None:
    script(nvidia_smi, TWO_GPUS)

    assert count_gpus({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == n


def test_there_are_no_gpus_without_a_driver_or_with_a_broken_one(nvidia_smi: Path) -> None:
    assert count_gpus({}) == 0
    script(nvidia_smi, "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9")
    assert count_gpus({}) == 0


def test_an_instance_gets_settings_and_a_slot_for_each_gpu(tmp_path: Path, nvidia_smi: Path) -> None:
    script(nvidia_smi, TWO_GPUS)

    home = ensure_instance(tmp_path)

    assert home == tmp_path / ".dagster"
    assert pool_limit(tmp_path) == 2

    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled  # the dialog that asks for an e-mail address
        assert instance.run_monitoring_enabled
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 10


def test_what_the_user_changed_in_the_instance_stays(tmp_path: Path, nvidia_smi: Path) -> None:
    ensure_instance(tmp_path)
    edited = "telemetry: {enabled: false}\n"
    (tmp_path / ".dagster" / "dagster.yaml").write_text(edited)
    set_pool_limit(tmp_path, 3)
    script(nvidia_smi, TWO_GPUS)

    ensure_instance(tmp_path)

    assert (tmp_path / ".dagster" / "dagster.yaml").read_text() == edited
    assert pool_limit(tmp_path) == 3


def test_a_limit_that_dagster_took_from_its_default_is_not_a_limit_that_was_set(
    tmp_path: Path, nvidia_smi: Path
) -> None:
    from dagster import DagsterInstance

    ensure_instance(tmp_path)
    with DagsterInstance.from_config(str(tmp_path / ".dagster")) as instance:
        instance.event_log_storage.delete_concurrency_limit(TRAINING_POOL)
        # What Dagster does when a step asks for a slot of a pool that it does not know yet.
        instance.event_log_storage.initialize_concurrency_limit_to_default(TRAINING_POOL)

    assert pool_limit(tmp_path) is None


@dg.op
def finds_bad_data() -> None:
    raise dg.Failure("bad data")


@dg.job
def training() -> None:
    finds_bad_data()


def test_a_run_starts_again_once_where_its_process_died_and_not_where_an_asset_failed(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(ensure_instance(tmp_path))) as instance:

        def will_start_again(run_id: str) -> str:
            run = instance.get_run_by_id(run_id)
            assert run
            return run.tags["dagster/will_retry"]

        failed = training.execute_in_process(instance=instance, raise_on_error=False)
        assert will_start_again(failed.run_id) == "false"

        dead = instance.add_run(dg.DagsterRun("training", status=dg.DagsterRunStatus.STARTED))
        instance.report_run_failed(dead)
        assert will_start_again(dead.run_id) == "true"

        again = dg.DagsterRun(
            "training",
            status=dg.DagsterRunStatus.STARTED,
            root_run_id=dead.run_id,
            parent_run_id=dead.run_id,
            tags={"dagster/root_run_id": dead.run_id, "dagster/parent_run_id": dead.run_id},
        )
        instance.report_run_failed(instance.add_run(again))
        assert will_start_again(again.run_id) == "false"


@pytest.mark.parametrize("content", ["telemetry: [", "nonsense: 1", "storage: x"])
def test_an_instance_with_settings_that_dagster_cannot_use_is_named(tmp_path: Path, content: str) -> None:
    home = tmp_path / ".dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(content)
    with pytest.raises(ConfigError, match=rf"instance in {home} cannot be opened: .* Correct .*dagster\.yaml"):
        open_instance(tmp_path).__enter__()


@pytest.mark.parametrize("target", ["dagster.yaml", "nowhere"])
def test_a_link_to_nowhere_in_place_of_the_settings_is_named_and_stays(tmp_path: Path, target: str) -> None:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").symlink_to(target)
    with pytest.raises(ConfigError, match=r"dagster\.yaml is a link that leads nowhere"):
        ensure_instance(tmp_path)
    assert (tmp_path / ".dagster" / "dagster.yaml").readlink() == Path(target)


def test_a_pipe_in_place_of_the_settings_is_named_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".dagster").mkdir()
    os.mkfifo(tmp_path / ".dagster" / "dagster.yaml")
    with pytest.raises(ConfigError, match="It is a pipe, a socket or a device, and no file"):
        open_instance(tmp_path).__enter__()


def test_a_database_whose_writer_was_killed_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    home = ensure_instance(tmp_path)
    (runs,), (index,) = home.rglob("runs.db"), home.rglob("index.db")
    with closing(sqlite3.connect(index, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.execute("CREATE TABLE numbers (n TEXT)")
        writer.executemany("INSERT INTO numbers VALUES (?)", [(f"{n:0200}",) for n in range(3000)])
        half = {file: file.read_bytes() for file in (index, Path(f"{index}-journal"))}
        writer.execute("ROLLBACK")
    for file, content in half.items():
        file.write_bytes(content)
    runs.write_bytes(b"no database " * 100)
    said = rf"file is not a database: {runs}\. Put"
    with pytest.raises(ConfigError, match=said), open_instance(tmp_path) as instance:
        instance.get_runs()


@pytest.mark.parametrize("name", ["runs.db", "index.db", "schedules.db"])
def test_an_instance_with_a_damaged_database_is_named(tmp_path: Path, name: str) -> None:
    home = ensure_instance(tmp_path)
    (database,) = home.rglob(name)
    database.write_bytes(b"no database " * 100)
    said = rf"instance in {home} cannot be used: file is not a database: {database}\. Put"
    with pytest.raises(ConfigError, match=said), open_instance(tmp_path) as instance:
        _ = (instance.get_runs(), instance.all_asset_keys(), instance.all_instigator_state())
    # Before a server starts that would tell its log alone.
    with pytest.raises(ConfigError, match=said):
        ensure_instance(tmp_path)


@pytest.mark.parametrize("command", ["demo", "up", "dev", "backfill"])
def test_no_command_that_works_on_the_instance_ends_in_a_traceback_of_a_damaged_one(
    tmp_path: Path, command: str
) -> None:
    init_project(tmp_path)
    (database,) = (tmp_path / ".dagster").rglob("runs.db")
    database.write_bytes(b"no database " * 100)
    project = ["--project", str(tmp_path)] if command == "backfill" else [str(tmp_path)]
    said = CliRunner().invoke(main, [command, *project])
    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code == 1
    assert f"file is not a database: {database}. Put a backup in its place" in said.output


def test_runs_that_go_on_elsewhere_are_counted_by_machine_and_shown_by_doctor(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    started = dg.DagsterRunStatus.STARTED
    hosts = ["login1", "login1", host_name(), None]
    with open_instance(project) as instance:
        for host in hosts:
            instance.add_run(dg.DagsterRun("training", status=started, tags={HOST_TAG: host} if host else {}))
        instance.add_run(dg.DagsterRun("training", status=dg.DagsterRunStatus.SUCCESS, tags={HOST_TAG: "login2"}))

    assert runs_elsewhere(project) == {"login1": 2}
    finding = next(daemon_findings(Settings.from_environment(project, {})))
    assert (finding.level, finding.what) == ("ok", "runs on login1")
    assert finding.found == "2 go on there, as Dagster has it; a daemon on that machine alone knows"
