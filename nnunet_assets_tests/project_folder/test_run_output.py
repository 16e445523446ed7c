"""What a run prints is kept where Dagster keeps it, and goes on to where it went before."""

import io
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from nnunet_assets.project_folder.dagster_home import DAGSTER_YAML
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.project_folder.run_output import RunOutput

KEY = ["run", "compute_logs", "step"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").write_text(DAGSTER_YAML)
    return tmp_path


def test_what_a_run_prints_is_in_the_files_and_in_the_terminal_and_no_process_copies_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, errors = project / "terminal", project / "errors"
    children, threads = psutil.Process().children(), threading.active_count()
    with terminal.open("w") as out, errors.open("w") as err, open_instance(project) as instance:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        manager = instance.compute_log_manager
        assert isinstance(manager, RunOutput)
        with manager.capture_logs(KEY):
            print("kept", flush=True)
            print("an error", file=sys.stderr, flush=True)
            os.write(out.fileno(), b"of a child\n")
            assert psutil.Process().children() == children
            assert not manager.is_capture_complete(KEY)
            until = time.monotonic() + 20
            while terminal.read_text() != "kept\nof a child\n":  # while the run goes on
                assert time.monotonic() < until
                time.sleep(0.05)
            print("last")
        print("after", flush=True)
        assert threading.active_count() == threads
        assert manager.is_capture_complete(KEY)
        kept = manager.get_log_data(KEY)
    assert (terminal.read_text(), errors.read_text()) == ("kept\nof a child\nlast\nafter\n", "an error\n")
    assert (kept.stdout, kept.stderr) == (b"kept\nof a child\nlast\n", b"an error\n")
    assert (project / ".dagster" / "storage" / "run" / "compute_logs" / "step.out").exists()


def test_a_terminal_that_is_gone_and_a_stream_that_is_no_file_keep_no_run_from_going_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears, tells = os.pipe()
    os.close(hears)
    with os.fdopen(tells, "w") as out, open_instance(project) as instance:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        with instance.compute_log_manager.capture_logs(KEY):
            print("kept", flush=True)
            print("seen by nobody", file=sys.stderr)
        assert instance.compute_log_manager.get_log_data(KEY).stdout == b"kept\n"
