import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking.fold.fold_run import alone
from nnunet_assets.tracking.store import sqlite_store
from nnunet_assets.tracking.store.client import connect, connect_to_read, get_or_create_experiment, probe
from nnunet_assets.tracking.store.destination import Destination, is_local, run_url
from nnunet_assets.tracking.store.server_errors import explain
from nnunet_assets_tests.started_at_once import WITH_STORES, run_at_once
from nnunet_assets_tests.tracked_projects import make_store
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, MlflowServer, answering, free_port, silent

pytestmark = MLFLOW_WARNINGS

OPEN = """
import sys
from pathlib import Path
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
folder = Path(sys.argv[1])
destination = Destination(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
found = get_or_create_experiment(connect(destination), "Dataset004_Hippocampus", destination)
sys.stdout.write(f"{found}\\n")  # one write: print makes two where nothing buffers, and another's may come between
"""


def store(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def opening(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def _makes_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has MLflow make the store, not a copy."""
    monkeypatch.setattr(sqlite_store, "_make", make_store)


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory, new_store: bytes) -> Path:
    """A folder with a whole store."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "mlflow.db").write_bytes(new_store)
    return folder


def test_three_processes_that_open_a_new_store_at_once_all_get_the_same_experiment(tmp_path: Path) -> None:
    assert run_at_once(3, OPEN, tmp_path, imports=WITH_STORES).split() == ["1"] * 3


@pytest.mark.usefixtures("_makes_stores")
def test_a_first_opening_that_is_killed_leaves_nothing_half_made(tmp_path: Path) -> None:
    process = opening(tmp_path)
    fresh = tmp_path / ".mlflow.db.new"
    while not (fresh.exists() and fresh.stat().st_size > 0):
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert connect(Destination(store(tmp_path), tmp_path / "artifacts")).search_experiments()


@pytest.mark.usefixtures("_makes_stores")
def test_a_new_store_is_made_where_its_quoted_uri_says_with_its_folder_and_the_artifacts_beside_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "a folder" / "Größe"
    client = connect(Destination(f"sqlite:///{folder}/a%20b%3F%2520c.db", folder / "artifacts"))
    experiment = client.get_experiment(
        get_or_create_experiment(
            client, "Dataset004_Hippocampus", Destination(client.tracking_uri, folder / "artifacts")
        )
    )
    assert experiment.artifact_location == (folder / "artifacts").as_uri()
    assert {path.name for path in folder.iterdir()} == {"a b?%20c.db", "a b?%20c.db.lock", "artifacts"}


@pytest.mark.parametrize("uri", ["file:///data/mlruns", "/data/mlruns", "mlruns", ""])
def test_a_file_store_is_refused_with_the_command_that_migrates_it(uri: str, tmp_path: Path) -> None:
    with pytest.raises(
        TrackingError, match=r"keeps no runs in files.*`mlflow migrate-filestore --source .*mlruns --target"
    ):
        connect(Destination(uri, tmp_path))


def test_mlflow_has_the_command_that_migrates_a_file_store() -> None:
    from mlflow.store.fs2db.cli import migrate_filestore

    assert migrate_filestore.name == "migrate-filestore"
    assert {option.name for option in migrate_filestore.params} >= {"source", "target"}


def test_a_relative_store_is_refused_with_the_absolute_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match=f"With four slashes it is absolute: sqlite:///{tmp_path}/mlflow.db"):
        connect(Destination("sqlite:///mlflow.db", tmp_path))


def test_a_store_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="database in memory, which ends with the process"):
        connect(Destination("sqlite:///:memory:", tmp_path))


def test_a_store_on_a_disk_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        TrackingError, match=r"has no locks, without which SQLite loses data\. Put the store on a local"
    ):
        connect(Destination(store(tmp_path), tmp_path))
    (tmp_path / OWN_FOLDER).mkdir()
    with alone(tmp_path):  # a fold's records are sent all the same
        pass


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("notes of a radiologist\n" * 100)
    with pytest.raises(TrackingError, match=r"is not an SQLite database .*Move it away"):
        connect(Destination(store(tmp_path), tmp_path / "artifacts"))
    assert (tmp_path / "mlflow.db").read_text().startswith("notes")


def copy_killed_in_a_write(database: Path, folder: Path) -> None:
    """Copies a database as a kill leaves it: half of a write in the file, what it replaced in a journal beside it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.executemany("INSERT INTO experiment_tags VALUES (?, 'x', 0)", [(str(n) * 200,) for n in range(3000)])
        for file in (database, Path(f"{database}-journal")):
            shutil.copy2(file, folder)
        writer.execute("ROLLBACK")


def test_a_store_whose_writer_was_killed_in_a_write_is_taken_back_to_what_was_whole(
    whole_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "before").mkdir()
    copy_killed_in_a_write(Path(shutil.copy2(whole_store / "mlflow.db", tmp_path / "before")), tmp_path)
    assert connect(Destination(store(tmp_path), tmp_path / "artifacts")).search_experiments()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM experiment_tags").fetchone() == (0,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_that_another_process_keeps_to_itself_is_not_said_to_be_none(
    whole_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnunet_assets.tracking.store.sqlite_store.LOCK_SECONDS", 0.1)
    shutil.copy2(whole_store / "mlflow.db", tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"cannot be read \(database is locked\)\. Leave the file"):
            connect(Destination(store(tmp_path), tmp_path / "artifacts"))


@pytest.mark.parametrize(
    ("target", "what"),
    [("/dev/null", "a device"), ("nowhere", "a link that leads nowhere"), (".", "a folder"), ("pipe", "a pipe")],
)
def test_what_is_no_file_is_named_and_stays(tmp_path: Path, target: str, what: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mlflow.db").symlink_to(target)
    with pytest.raises(TrackingError, match=rf"mlflow\.db is .*{what}.*Move it away"):
        connect(Destination(store(tmp_path), tmp_path / "artifacts"))
    assert (tmp_path / "mlflow.db").readlink() == Path(target)
    assert not Path("/dev/null").is_file()


def test_the_database_of_another_program_is_refused_and_gets_no_tables(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("CREATE TABLE patients (name TEXT)")
    with pytest.raises(TrackingError, match=r"database of another program \(tables: patients\)"):
        connect(Destination(store(tmp_path), tmp_path / "artifacts"))
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("CREATE TABLE _alembic_tmp_tags (a)", "half made .*_alembic_tmp_tags.*a new one is made.*your backup"),
        ("DELETE FROM alembic_version", "half made .*no version"),
        (
            "UPDATE alembic_version SET version_num = '728d730b5ebd'",
            "another version of MLflow.*`mlflow db upgrade sqlite",
        ),
    ],
)
def test_a_store_that_is_not_whole_is_refused_with_the_remedy(
    whole_store: Path, tmp_path: Path, damage: str, message: str
) -> None:
    (tmp_path / "mlflow.db").write_bytes((whole_store / "mlflow.db").read_bytes())
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute(damage)
        database.commit()
    with pytest.raises(TrackingError, match=message):
        connect(Destination(store(tmp_path), tmp_path / "artifacts"))


def test_a_place_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"tracking store .*/file/mlflow.db cannot be written"):
        connect(Destination(store(tmp_path / "file"), tmp_path / "artifacts"))
    assert time.monotonic() - started < 5  # MLflow alone tries for 101 s


@pytest.mark.parametrize("uri", ["htp://x", "s3://bucket/mlflow", "ftp://user:secret@host/x"])
def test_an_address_that_is_no_store_s_is_refused_at_once(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="MLflow knows no store at an address like") as refused:
        connect(Destination(uri, tmp_path / "artifacts"))
    assert "Set MLFLOW_TRACKING_URI to a server's" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert explain(refused.value, uri).cause == "unusable"


@pytest.mark.parametrize("opened", [connect, connect_to_read])
@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow.example.org:443/", "10.0.0.7:80"])
def test_a_server_without_a_scheme_is_told_what_to_write(opened: Any, uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=f"'{uri}' says not how to speak to it: write http://{uri}"):
        opened(Destination(uri, tmp_path / "artifacts"))


def test_a_missing_database_driver_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"mysql://\*\*\*@127.0.0.1:1/db needs the Python package MySQLdb"):
        connect(Destination("mysql://u:s3cret@127.0.0.1:1/db", tmp_path))


def test_what_sqlalchemy_takes_for_psycopg_3_is_said_with_what_to_write(tmp_path: Path) -> None:
    said = r"^MLFLOW_TRACKING_URI begins with postgresql://, for which SQLAlchemy 2.1 takes psycopg 3. Write postg"
    with pytest.raises(TrackingError, match=said):
        connect(Destination("postgresql://u:s3cret@127.0.0.1:1/db", tmp_path))


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"oops", "answers with an error of its own.*500"),
        (503, b"", "answers with an error of its own.*503"),
        (401, b"You are not authenticated", r"does not let us in \(unauthorized\).*MLFLOW_TRACKING_USERNAME"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', r"does not let us in \(unauthorized\)"),
        (403, b'{"message": "Forbidden"}', r"does not let us in \(unauthorized\).*Forbidden"),
        (200, b"<html>Please log in</html>", "is not MLflow: .*<html>Please log in.*login page or a proxy"),
        (404, b"<html>Not Found</html>", "is not MLflow.*Check the address"),
        (418, b'{"detail": "teapot"}', "is not MLflow: .*teapot"),
    ],
)
def test_what_answers_wrongly_is_told_apart(status: int, body: bytes, message: str, tmp_path: Path) -> None:
    # A `Retry-After` of an hour must not be obeyed.
    with answering(status, body, {"Retry-After": "3600"}) as uri, pytest.raises(TrackingError, match=message):
        connect(Destination(uri, tmp_path))


def test_a_closed_port_is_not_reachable_and_the_password_is_not_shown(tmp_path: Path) -> None:
    uri = f"http://me:hunter2@127.0.0.1:{free_port()}"
    with pytest.raises(
        TrackingError, match=r"http://\*\*\*@127.0.0.1:\d+ is not reachable: Connection refused. Start it"
    ) as caught:
        connect(Destination(uri, tmp_path))
    assert "hunter2" not in str(caught.value)


def test_probing_a_server_that_never_answers_ends_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    with silent() as uri, pytest.raises(TrackingError, match="is not reachable: no answer within 2 s"):
        probe(Destination(uri, tmp_path), timeout_seconds=2)
    assert time.monotonic() - started < 4


def test_making_a_new_store_on_a_slow_disk_is_no_silence(
    tmp_path: Path, new_store: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(database: Path) -> None:
        database.write_bytes(new_store)
        time.sleep(3)

    monkeypatch.setattr(sqlite_store, "_make", slowly)
    assert probe(Destination(store(tmp_path), tmp_path / "artifacts"), timeout_seconds=3).startswith("SQLite store")


def test_a_probe_says_what_it_found(whole_store: Path, mlflow_server: MlflowServer, tmp_path: Path) -> None:
    assert probe(Destination(store(whole_store), whole_store / "artifacts")).startswith(
        f"SQLite store {store(whole_store)}, 1 experiment, MLflow client 3."
    )
    assert probe(Destination(mlflow_server.uri, tmp_path)).startswith(f"MLflow store {mlflow_server.uri}, ")


def test_a_server_places_the_artifacts_of_its_experiments_itself(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    client = connect(Destination(mlflow_server.uri, tmp_path))
    first = get_or_create_experiment(client, "Dataset004_Hippocampus", Destination(client.tracking_uri, tmp_path))
    assert client.get_experiment(first).artifact_location.startswith("mlflow-artifacts:")
    assert (
        get_or_create_experiment(client, "Dataset004_Hippocampus", Destination(client.tracking_uri, tmp_path)) == first
    )


def test_a_deleted_experiment_is_not_written_to_in_silence(tmp_path: Path) -> None:
    client = connect(Destination(store(tmp_path), tmp_path / "artifacts"))
    number = get_or_create_experiment(
        client, "Dataset004_Hippocampus", Destination(client.tracking_uri, tmp_path / "artifacts")
    )
    client.delete_experiment(number)
    with pytest.raises(TrackingError, match=f"was deleted. Restore it with `mlflow experiments restore -x {number}`"):
        get_or_create_experiment(
            client, "Dataset004_Hippocampus", Destination(client.tracking_uri, tmp_path / "artifacts")
        )


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("sqlite:////data/mlflow.db", True),
        ("http://127.0.0.1:5000", True),
        ("http://me:pw@localhost:5000", True),
        ("http://[::1]:5000", True),
        ("https://mlflow.example.org", False),
        ("http://10.0.0.7:5000", False),
        ("http://127.example.org:5000", False),
        ("postgresql://me@db.example.org/mlflow", False),
    ],
)
def test_only_a_file_and_the_loopback_stay_on_this_machine(uri: str, local: bool) -> None:
    assert is_local(uri) is local


def test_the_link_to_a_run_holds_no_password() -> None:
    link = run_url("https://me:pw@mlflow.example.org/prefix/", "7", "abc")
    assert link == "https://mlflow.example.org/prefix/#/experiments/7/runs/abc"
    assert run_url("sqlite:////data/mlflow.db", "7", "abc") is None


def test_what_the_user_set_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunet_assets.tracking.store.client import prepare_environment

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    prepare_environment()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
