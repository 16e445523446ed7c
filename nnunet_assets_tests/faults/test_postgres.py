"""A project on a real PostgreSQL: made, looked at, and what is said where it cannot work."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from dagster import DagsterRun, DagsterRunStatus

from nnunet_assets.cli.diagnosis.databases import database_findings
from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.cli.main import main
from nnunet_assets.cli.project import init_postgres
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.files.layout import TRAINING_POOL
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.project_folder.instance_state import pool_limit
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.dagster_dev import DagsterDev, free_port
from nnunet_assets_tests.faults.devs import Devs, family
from nnunet_assets_tests.real_postgres import PASSWORD, QUOTED_PASSWORD, PostgresServer, postgres_server
from nnunet_assets_tests.tracking.folds import Tracked, start, tracker, train, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.make("dagster", "mlflow", "nothing", "another")
        server.execute("another", "CREATE TABLE theirs (x int)")
        yield server


@pytest.fixture(scope="module")
def made(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("postgres") / "project"
    urls = {"DAGSTER_POSTGRES_URL": server.url("dagster", driver=""), "MLFLOW_TRACKING_URI": server.url("mlflow")}
    result = CliRunner().invoke(main, ["init", "--postgres", str(folder)], env=urls)
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture
def project(made: tuple[Path, Result], server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    if not server.is_running:
        server.start()
    return made[0]


def findings(project: Path, **variables: str) -> list[Finding]:
    """What `doctor` finds of the databases where the project's `.env` says otherwise for a while."""
    file = project / ".env"
    before = file.read_text()
    file.write_text(before + "".join(f"{name}='{value}'\n" for name, value in variables.items()))
    try:
        found = list(database_findings(project_settings(project)))
    finally:
        file.write_text(before)
    said = "\n".join(f"{one.found} {one.remedy}" for one in found)
    assert PASSWORD not in said
    assert QUOTED_PASSWORD not in said
    assert "Traceback" not in said
    return found


def test_init_writes_both_databases_and_no_password_but_into_the_owner_s_file(
    made: tuple[Path, Result], project: Path
) -> None:
    root, result = made
    assert "The URL for Dagster begins with postgresql://, for which SQLAlchemy 2.1 takes psycopg 3." in result.output
    assert "/dagster, PostgreSQL 1" in result.output
    assert QUOTED_PASSWORD not in result.output
    assert stat.S_IMODE((root / ".env").stat().st_mode) == 0o600
    holding = [path for path in root.rglob("*") if path.is_file() and QUOTED_PASSWORD in path.read_text()]
    assert holding == [root / ".env"]
    assert list(root.rglob("*.db")) == []
    assert pool_limit(project) == 1


def test_records_lie_in_the_databases_by_the_env_file_alone(project: Path, server: PostgresServer) -> None:
    run = DagsterRun("training")
    with open_instance(project) as instance:
        instance.add_run(run)
    assert (run.run_id,) in server.execute("dagster", "SELECT run_id FROM runs")
    client = connect(Destination.of(project_settings(project)))
    made = client.create_run("0")
    assert (made.info.run_id,) in server.execute("mlflow", "SELECT run_uuid FROM runs")
    # Nobody holds a connection who asks nothing.
    assert server.execute("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'mlflow'") == [(0,)]


def test_a_second_call_changes_nothing(project: Path) -> None:
    files = [project / ".env", project / ".dagster" / "dagster.yaml"]
    before = [file.read_text() for file in files]
    result = CliRunner().invoke(main, ["init", "--postgres", str(project)])
    assert result.exit_code == 0, result.output
    assert [file.read_text() for file in files] == before


def test_a_project_with_files_is_put_on_postgres_and_told_what_stays_behind(
    server: PostgresServer, tmp_path: Path, project: Path
) -> None:
    server.make("second_dagster", "second_mlflow")
    root = init_project(tmp_path / "older")
    yaml = root / ".dagster" / "dagster.yaml"
    older = yaml.read_text()
    yaml.write_text(older[: older.index("run_launcher:")] + older[older.index("run_monitoring:") :])
    urls = {"DAGSTER_POSTGRES_URL": server.url("second_dagster"), "MLFLOW_TRACKING_URI": server.url("second_mlflow")}

    result = CliRunner().invoke(main, ["init", "--postgres", str(root)], env=urls)

    assert result.exit_code == 0, result.output
    assert f"recorded so far stays in {root / '.dagster'} and {root / 'data'}, and is not taken along." in result.output
    assert "HostRunLauncher" in yaml.read_text()
    with open_instance(root) as instance:
        assert "postgres" in type(instance.run_storage).__module__
    assert (TRAINING_POOL,) in server.execute("second_dagster", "SELECT concurrency_key FROM concurrency_limits")


def test_doctor_finds_nothing_wrong_where_nothing_is(project: Path) -> None:
    found = findings(project)
    assert [one.level for one in found] == ["ok"] * 3
    assert [one.what for one in found][:2] == ["Dagster's database", "MLflow's database"]
    assert "this project may need" in found[2].found


@pytest.mark.parametrize("variable", ["DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI"])
def test_doctor_says_each_thing_that_is_wrong_in_a_sentence(
    project: Path, server: PostgresServer, variable: str
) -> None:
    program = "Dagster" if variable.startswith("DAGSTER") else "MLflow"
    other, own = ("mlflow", "dagster") if program == "Dagster" else ("dagster", "mlflow")
    trials = {
        server.url(own, password="wrong"): f"does not take the password of nnunet. Correct it in {variable}",
        server.url("nowhere"): f"has no database nowhere ({variable}).",
        server.url(other): "needs one of its own: both note the version of their tables in one place.",
        server.url("another"): "is another program's",
        server.url(own, driver=""): f"{variable} begins with postgresql://, for which SQLAlchemy 2.1 takes psycopg 3.",
        server.url(own).replace(str(server.port), "1"): "PostgreSQL at 127.0.0.1:1 is not reachable",
    }
    for url, said in trials.items():
        (wrong,) = [one for one in findings(project, **{variable: url}) if one.level == "error"]
        assert wrong.what == f"{program}'s database"
        assert said in wrong.found


def test_doctor_warns_of_too_few_connections(project: Path, server: PostgresServer) -> None:
    server.execute("postgres", "ALTER DATABASE dagster CONNECTION LIMIT 15")
    server.execute("postgres", "ALTER DATABASE mlflow CONNECTION LIMIT 15")
    try:
        (warning,) = [one for one in findings(project) if one.level != "ok"]
        assert "at most 15; this project may need 32" in warning.found
    finally:
        server.execute("postgres", "ALTER DATABASE dagster CONNECTION LIMIT -1")
        server.execute("postgres", "ALTER DATABASE mlflow CONNECTION LIMIT -1")


def test_a_server_that_is_down_is_named_by_every_way_to_it(project: Path, server: PostgresServer) -> None:
    server.stop()
    found = findings(project)
    assert [one.level for one in found] == ["error", "error"]
    with pytest.raises(ConfigError, match="is not reachable"), open_instance(project):
        pass
    with pytest.raises(TrackingError, match="is not reachable"):
        connect(Destination.of(project_settings(project)))
    server.start()
    assert {one.level for one in findings(project)} == {"ok"}


def test_tables_of_another_version_are_found(project: Path, server: PostgresServer) -> None:
    versions = {name: server.execute(name, "SELECT version_num FROM alembic_version") for name in ("dagster", "mlflow")}
    for name in versions:
        server.execute(name, "UPDATE alembic_version SET version_num = '0000'")
    try:
        of_dagster, of_mlflow = [one for one in findings(project) if one.level == "error"]
        assert "its tables are of another version (0000)" in of_dagster.found
        assert "dagster instance migrate" in of_dagster.remedy
        assert "were made by another version than the installed" in of_mlflow.found
    finally:
        for name, ((version,),) in versions.items():
            server.execute(name, f"UPDATE alembic_version SET version_num = '{version}'")


def test_who_cannot_be_asked_is_told_what_to_set(tmp_path: Path, project: Path) -> None:
    result = CliRunner().invoke(main, ["init", "--postgres", str(tmp_path / "new")])
    assert result.exit_code == 1
    assert (
        "DAGSTER_POSTGRES_URL is not set. Set it to postgresql+psycopg2://<user>:<password>@<host>:5432/"
        in result.stderr
    )


def test_who_can_is_asked_and_one_database_for_both_is_refused(
    tmp_path: Path, server: PostgresServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_postgres, "is_terminal", lambda: True)
    asked = f"{server.url('nothing')}\n{server.url('nothing')}\n"
    result = CliRunner().invoke(main, ["init", "--postgres", str(tmp_path / "new")], input=asked)
    assert result.exit_code == 1
    assert "DAGSTER_POSTGRES_URL and MLFLOW_TRACKING_URI name one database, nnunet@127.0.0.1" in result.stderr
    assert QUOTED_PASSWORD not in result.output
    assert not (tmp_path / "new" / ".dagster" / "dagster.yaml").exists()


def losses(last: int) -> list[tuple[int, float]]:
    return [(epoch, epoch / 10) for epoch in range(last + 1)]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_mlflow_gets_each_epoch_once_from_a_training_during_which_its_database_is_away(
    server: PostgresServer, project: Path, tmp_path: Path, mode: str
) -> None:
    server.make(f"epochs_{mode}")
    uri = server.url(f"epochs_{mode}")
    fold, tracked = tmp_path / "fold_0", Tracked(uri, tmp_path)
    with tracker(uri, fold) as following:
        start(fold)
        train(fold, 0, 2)
        wait_until(lambda: bool(tracked.runs) and tracked.history("train_loss") == losses(2))
        server.stop(mode)
        train(fold, 3, 5)
        time.sleep(2)  # several tries fail meanwhile
        server.start()
        train(fold, 6, 6)
        wait_until(lambda: tracked.history("train_loss") == losses(6))
        report = following.finish("FINISHED")
    assert (report.n_waiting, report.problem) == (0, None)
    assert tracked.run.info.status == "FINISHED"


def test_what_a_database_that_was_down_at_the_end_did_not_get_is_sent_later(
    server: PostgresServer, project: Path, tmp_path: Path
) -> None:
    server.make("later")
    uri, fold = server.url("later"), tmp_path / "fold_0"
    server.stop()
    with tracker(uri, fold) as following:
        start(fold)
        train(fold, 0, 2)
        report = following.finish("FINISHED", timeout_seconds=1)
    assert report.n_waiting > 0
    assert "PostgreSQL at 127.0.0.1:" in str(report.problem)
    assert QUOTED_PASSWORD not in str(report.problem)
    server.start()
    for _ in range(2):
        report = send_waiting(Destination(uri, tmp_path / "artifacts"), fold)
        assert (report.n_waiting, report.problem) == (0, None)
    tracked = Tracked(uri, tmp_path)
    assert (tracked.history("train_loss"), tracked.run.info.status) == (losses(2), "FINISHED")


OPENS = """
import sys
from pathlib import Path

from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination

print(len(connect(Destination(sys.argv[1], Path("/nowhere"))).search_experiments()))
"""


def test_five_processes_that_open_new_tables_at_once_all_get_them(server: PostgresServer, project: Path) -> None:
    server.make("crowd")
    command = [sys.executable, "-c", OPENS, server.url("crowd")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    assert [process.communicate(timeout=300)[0] for process in running] == ["1\n"] * 5
    assert server.execute("crowd", "SELECT count(*) FROM alembic_version") == [(1,)]


QUICK = """
import dagster as dg


@dg.asset
def quick() -> None:
    pass
"""


def test_dev_keeps_its_records_in_the_database_and_ends_with_all_it_started(
    project: Path, server: PostgresServer
) -> None:
    (project / "experiments" / "quick").mkdir()
    (project / "experiments" / "quick" / "assets.py").write_text(QUICK)
    devs, port = Devs(project), free_port()
    dev = devs.start(port)
    try:
        wait_until(lambda: devs.is_up(dev), 240)
        started = family(dev.pid)
        run_id = DagsterDev(f"http://127.0.0.1:{port}", devs.log(0)).launch(("quick",))
        with open_instance(project) as instance:
            wait_until(lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS, 180)
        assert server.execute("dagster", f"SELECT status FROM runs WHERE run_id = '{run_id}'") == [("SUCCESS",)]
        of_sensors = "SELECT count(*) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
        wait_until(lambda: server.execute("dagster", of_sensors) == [(1,)], 60)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(90) == 0
        assert psutil.wait_procs(started, 30)[1] == []
    finally:
        devs.end()
