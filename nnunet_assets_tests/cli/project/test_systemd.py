"""How servers become units. There is no user's systemd where these tests run: the calls are checked, not made."""

from pathlib import Path

import pytest

from nnunet_assets.cli.project import systemd


def test_a_server_is_started_as_a_transient_unit_of_which_only_the_server_itself_is_ever_stopped() -> None:
    command = systemd.start_command(
        "nnunet-assets-0-webserver",
        ["/venv/bin/python", "-m", "dagster_webserver", "-p", "3000"],
        folder=Path("/home/me/my project"),
        log=Path("/home/me/my project/run/webserver.log"),
        environment={"DAGSTER_HOME": "/x", "MLFLOW_TRACKING_PASSWORD": "hunter2", "BASH_FUNC_module%%": "() { :; }"},
    )

    assert command == [
        "systemd-run",
        "--user",
        "--quiet",
        "--collect",
        "--unit=nnunet-assets-0-webserver",
        *("-p", "Type=exec"),
        *("-p", "KillMode=process"),
        *("-p", "WorkingDirectory=/home/me/my project"),
        *("-p", "StandardOutput=append:/home/me/my project/run/webserver.log"),
        *("-p", "StandardError=append:/home/me/my project/run/webserver.log"),
        "--setenv=DAGSTER_HOME",
        "--setenv=MLFLOW_TRACKING_PASSWORD",
        "--",
        *("/venv/bin/python", "-m", "dagster_webserver", "-p", "3000"),
    ]


def test_two_projects_have_units_of_their_own() -> None:
    first, second = (systemd.unit_name(Path(project), "daemon") for project in ("/a/project", "/b/project"))
    assert first != second
    assert systemd.unit_name(Path("/a/project"), "daemon") == first


@pytest.mark.parametrize(("script", "is_there"), [("exit 0", True), ("exit 1", False), (None, False)])
def test_a_users_systemd_is_there_where_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, is_there: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemctl").chmod(0o755)

    assert systemd.is_available() is is_there
