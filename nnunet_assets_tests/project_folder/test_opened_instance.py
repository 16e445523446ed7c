"""An instance that cannot be opened, or used: settings, links, pipes and databases."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.opened_instance import open_instance


@pytest.mark.parametrize("content", ["telemetry: [", "nonsense: 1", "storage: x"])
def test_an_instance_with_settings_that_dagster_cannot_use_is_named(tmp_path: Path, content: str) -> None:
    home = tmp_path / ".dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(content)
    with pytest.raises(ConfigError, match=rf"instance in {home} cannot be opened: .* Correct .*dagster\.yaml"):
        open_instance(tmp_path).__enter__()


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
