"""What runs on the node, with a Ray that only says where it is: started, ended, and told."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.engines.ray_cluster.driver import VARIABLES
from nnunet_assets.engines.ray_cluster.task import run_job
from nnunet_assets_tests.living_processes import living


@pytest.fixture(autouse=True)
def _ray(monkeypatch: pytest.MonkeyPatch) -> None:
    played: Any = ModuleType("ray")
    played.get_runtime_context = lambda: SimpleNamespace(
        get_node_id=lambda: "1f2e3d4c5b6a", get_job_id=lambda: "07000000", get_task_id=lambda: "abc07000000"
    )
    monkeypatch.setitem(sys.modules, "ray", played)


def run(folder: Path, script: str) -> dict[str, Any]:
    (folder / "job.sh").write_text(script)
    return run_job(str(folder), VARIABLES, 5.0)


def test_the_script_hears_of_its_task_and_its_exit_code_is_told(tmp_path: Path) -> None:
    names = "$NNUNET_ASSETS_JOB_PARENT $NNUNET_ASSETS_JOB_ID $NNUNET_ASSETS_JOB_TASK"
    told = run(tmp_path, f'echo "{names}"; pwd; exit 78\n')
    assert (told["exit_code"], told["node"].rpartition(" ")[2]) == (78, "(1f2e3d4c)")
    assert (tmp_path / "job.log").read_text() == f"{os.getpid()} 07000000 abc07000000\n{tmp_path}\n"


def test_a_node_without_the_shared_folder_or_the_python_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    told = run_job(str(tmp_path / "gone"), VARIABLES, 5.0)
    assert told["problem"].startswith(f"{tmp_path}/gone/job.sh is not there on the node ")
    assert run(tmp_path, "exec /nowhere/python -m x\n")["exit_code"] == 127
    assert "/nowhere/python" in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize(
    "script", ["echo $$ > pid; exec sleep 60\n", "trap '' TERM; echo $$ > pid; sleep 60 & wait; sleep 60\n"]
)
def test_an_interrupted_task_ends_the_script_whether_it_listens_or_not(tmp_path: Path, script: str) -> None:
    (tmp_path / "job.sh").write_text(script)

    def interrupt() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.01)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_job(str(tmp_path), VARIABLES, 0.3)
    thread.join()
    assert living([int((tmp_path / "pid").read_text())]) == []


def test_an_interruption_of_the_start_itself_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        """One that Ray cancels when its process is there, and before anybody knows of it."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            _thread.interrupt_main()
            time.sleep(0)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    (tmp_path / "job.sh").write_text("exec sleep 60\n")
    with pytest.raises(KeyboardInterrupt):
        run_job(str(tmp_path), VARIABLES, 0.3)
    assert len(started) == 1
    assert living(started) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
