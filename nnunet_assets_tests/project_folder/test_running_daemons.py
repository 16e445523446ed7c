"""Who is found to be the daemon of an instance, and what is said of him."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nnunet_assets.project_folder import running_daemons
from nnunet_assets.project_folder.daemon_lock import UNKNOWN, DaemonOwner
from nnunet_assets.project_folder.running_daemons import (
    SecondDaemonError,
    find_daemons,
    refuse_second_daemon,
    second_daemons,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs programs that are called as Dagster's are, and do nothing."""
    running: list[subprocess.Popen[str]] = []

    def start(*command: str, home: Path | None = None, folder: Path = tmp_path) -> "subprocess.Popen[str]":
        script = folder / command[0]
        script.write_text("print('up', flush=True)\ninput()\n")
        environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
        process = subprocess.Popen(
            [sys.executable, str(script), *command[1:]],
            cwd=folder,
            env={**environment, **({"DAGSTER_HOME": str(home)} if home else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in running:
        process.communicate("\n")


@pytest.fixture(autouse=True)
def signs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the instance says of the last sign of a daemon: its first entry until there is but one."""
    times: list[float] = []
    monkeypatch.setattr(
        running_daemons,
        "last_sign_of_daemon",
        lambda _project: (times.pop(0) if len(times) > 1 else times[0]) if times else None,
    )
    monkeypatch.setattr(running_daemons, "SIGN_SECONDS", 1)
    return times


@pytest.mark.parametrize("command", [("dagster-daemon", "run"), ("dagster", "dev", "-p", "3000"), ("dg", "dev")])
def test_plain_dagster_on_the_instance_is_named_with_how_to_end_it(
    tmp_path: Path, run: Run, command: tuple[str, ...]
) -> None:
    process = run(*command, home=tmp_path / ".dagster")

    with pytest.raises(SecondDaemonError) as caught:
        refuse_second_daemon(tmp_path, RecordedProgress(pytest.fail))

    assert re.fullmatch(
        rf"Process {process.pid} \(`{command[0]} {command[1]}`, since 20[-0-9]+ [:0-9]+\) is the Dagster daemon of "
        rf"{re.escape(str(tmp_path))} already, and two of them would start each run twice. End it: Ctrl-C in its "
        rf"terminal, or: kill -INT {process.pid}",
        str(caught.value),
    )


def test_whoever_works_beside_the_first_is_a_second_one(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run("dagster", "dev", home=tmp_path / ".dagster")
    assert second_daemons(tmp_path) == []
    owner = DaemonOwner("elsewhere", 7, "", "nnunet-assets dev", "")
    monkeypatch.setattr(running_daemons, "lock_owner", lambda _home: owner)
    (said,) = second_daemons(tmp_path)
    assert said.startswith(f"Process {process.pid} (`dagster dev`, since ")
    assert said.endswith(
        f" is a second daemon: each run is started twice. End it: Ctrl-C in its terminal, or: kill -INT {process.pid}"
    )


def test_dagster_reads_the_env_file_where_it_starts(tmp_path: Path, run: Run) -> None:
    (tmp_path / ".env").write_text(f"DAGSTER_HOME='{tmp_path / '.dagster'}'\n")
    process = run("dagster-daemon", "run")
    (found,) = find_daemons(tmp_path)
    assert found.who.startswith(f"Process {process.pid} ")


@pytest.mark.parametrize("command", [("dagster", "job"), ("dagster-daemon", "wipe"), ("mydagster", "dev")])
def test_other_commands_and_other_instances_are_none(tmp_path: Path, run: Run, command: tuple[str, ...]) -> None:
    run(*command, home=tmp_path / ".dagster")
    run("dagster-daemon", "run", home=tmp_path / "elsewhere")
    assert list(find_daemons(tmp_path)) == []
    refuse_second_daemon(tmp_path, RecordedProgress(pytest.fail))


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (
            DaemonOwner("elsewhere", 7, "2026-11-30T03:00:00+00:00", "nnunet-assets dev", "http://127.0.0.1:3000"),
            r"Process 7 on elsewhere \(`nnunet-assets dev`, since 2026-1.* Its web UI is at http://127.0.0.1:3000. "
            r"End it, on elsewhere: Ctrl-C in its terminal, or: kill -INT 7$",
        ),
        (DaemonOwner("elsewhere", 7, "", "nnunet-assets up", ""), r"End it, on elsewhere: nnunet-assets down .*$"),
        (UNKNOWN, r"A process that nobody wrote down is .* `lsof` or `fuser -v` on that file names it\.$"),
    ],
)
def test_the_holder_of_the_lock_is_named_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: DaemonOwner, said: str
) -> None:
    monkeypatch.setattr(running_daemons, "lock_owner", lambda _home: owner)
    with pytest.raises(SecondDaemonError, match=said):
        refuse_second_daemon(tmp_path, RecordedProgress(pytest.fail))


def test_a_daemon_that_nobody_sees_gives_another_sign(tmp_path: Path, signs: list[float]) -> None:
    signs += [time.time(), time.time() + 1]
    progress = RecordedProgress()
    with pytest.raises(SecondDaemonError, match="on another machine, in another container or of another user is the"):
        refuse_second_daemon(tmp_path, progress)
    assert len(progress.said) == 1


def test_the_last_sign_of_one_that_was_killed_is_waited_for_once(tmp_path: Path, signs: list[float]) -> None:
    signs.append(time.time())
    progress = RecordedProgress()
    refuse_second_daemon(tmp_path, progress)
    (said,) = progress.said
    assert re.match(r"A Dagster daemon gave a sign of life 0 s ago, and none runs on this machine.*up to 2 s", said)


def test_where_locks_are_each_machine_s_own_the_first_is_named_by_its_record_and_found_by_its_signs(
    tmp_path: Path, signs: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = DaemonOwner("login1", 7, "2026-11-30T03:00:00+00:00", "nnunet-assets up", "http://127.0.0.1:3000")
    monkeypatch.setattr(running_daemons, "last_owner", lambda _home: owner)
    # The clock of the other machine is ten minutes behind.
    signs += [time.time() - 600, time.time() - 599]
    progress = RecordedProgress()
    with pytest.raises(
        SecondDaemonError, match=r"^Process 7 on login1 \(`nnunet-assets up`.*End it, on login1: nnunet"
    ):
        refuse_second_daemon(tmp_path, progress)
    (said,) = progress.said
    assert said.endswith("whether one does on login1 ...")


def test_a_daemon_of_another_machine_that_gives_no_sign_keeps_nobody_out(
    tmp_path: Path, signs: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_daemons, "SIGN_SECONDS", -4)
    monkeypatch.setattr(running_daemons, "last_owner", lambda _home: DaemonOwner("login1", 7, "", "", ""))
    signs.append(time.time() - 600)
    refuse_second_daemon(tmp_path, RecordedProgress())


def test_an_old_sign_is_not_waited_for(tmp_path: Path, signs: list[float]) -> None:
    signs.append(time.time() - 3)
    refuse_second_daemon(tmp_path, RecordedProgress(pytest.fail))
