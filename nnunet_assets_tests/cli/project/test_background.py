import json
import shutil
import socket
import subprocess
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.cli.project import background, servers
from nnunet_assets.cli.project.background import Background
from nnunet_assets.errors import NnunetAssetsError


def test_a_process_that_was_never_started_does_not_run(tmp_path: Path) -> None:
    assert background.find(tmp_path, "daemon") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"another": "version"}'])
def test_a_record_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "daemon.json").write_text(content)
    with pytest.raises(NnunetAssetsError, match=r"daemon\.json is damaged or of another version.*delete the file\."):
        background.find(tmp_path, "daemon")


def test_a_record_of_another_machine_is_no_process_of_this_one_whatever_its_number(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    mine = psutil.Process()
    record = Background(mine.pid, mine.cmdline(), None, None, "login1")
    (tmp_path / "run" / "daemon.json").write_text(json.dumps(asdict(record)))

    assert background.find(tmp_path, "daemon") is None
    assert background.find_elsewhere(tmp_path, "daemon") == record
    assert background.stop(tmp_path, "daemon") is False
    assert (tmp_path / "run" / "daemon.json").exists()


@pytest.mark.parametrize("host", [None, socket.gethostname()])
def test_a_record_of_this_machine_or_of_an_earlier_version_is(
    tmp_path: Path, host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    mine = psutil.Process()
    record = Background(mine.pid, mine.cmdline(), None, None, host)
    written = {name: value for name, value in asdict(record).items() if value is not None or name != "host"}
    (tmp_path / "run" / "daemon.json").write_text(json.dumps(written))

    assert background.find(tmp_path, "daemon") == record
    assert background.find_elsewhere(tmp_path, "daemon") is None


def test_a_copy_of_a_project_has_none_of_the_processes_of_the_original_and_a_moved_one_keeps_them(
    tmp_path: Path,
) -> None:
    old, moved, copied = tmp_path / "old", tmp_path / "moved", tmp_path / "copied"
    (old / "run").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], cwd=old) as process:
        started = Background(process.pid, ["sleep", "60"], None, None, None)
        (old / "run" / "daemon.json").write_text(json.dumps(asdict(started)))
        assert background.find(old, "daemon") == started
        shutil.copytree(old, copied)
        assert background.find(copied, "daemon") is None
        assert background.stop(copied, "daemon") is False
        old.rename(moved)
        assert background.find(moved, "daemon") == started
        assert background.stop(moved, "daemon") is True
        assert process.wait() != 0


def test_down_on_another_machine_says_where_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "run").mkdir()
    record = tmp_path / "run" / "daemon.json"
    record.write_text(json.dumps(asdict(Background(4711, ["python"], None, None, "login1"))))

    result = CliRunner().invoke(main, ["down", str(tmp_path)])

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "webserver is not running.",
        f"daemon was started on login1 (process 4711), and this is {socket.gethostname()}. Stop it there: "
        f"nnunet-assets down {tmp_path}. If that machine is gone, delete {record}.",
        "mlflow is not running.",
    ]
    assert record.exists()


def test_on_a_machine_with_other_people_it_is_said_who_reaches_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "other_users", list)
    assert servers.loopback_sentences() == []
    monkeypatch.setattr(servers, "other_users", lambda: ["jan", "mara"])
    (said,) = servers.loopback_sentences()
    assert said.startswith("Others are at work on this machine (jan, mara), and whoever is logged in here reaches")
