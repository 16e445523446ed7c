"""Each run says on which machine its process is, before there is one."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.dagster_home import DAGSTER_YAML
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.project_folder.run_launcher import HostRunLauncher


def test_a_run_names_its_machine_before_its_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").write_text(DAGSTER_YAML)
    seen: list[str | None] = []

    def start(launcher: Any, context: Any) -> None:
        run = launcher._instance.get_run_by_id(context.dagster_run.run_id)
        seen.append(run.tags.get(HOST_TAG))

    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", start)
    with open_instance(tmp_path) as instance:
        assert isinstance(instance.run_launcher, HostRunLauncher)
        # As Dagster's own retry copies the tags of the run before.
        run = dg.DagsterRun("training", tags={HOST_TAG: "login1"})
        instance.add_run(run)
        instance.run_launcher.launch_run(dg._core.launcher.base.LaunchRunContext(run, workspace=None))
    assert seen == [host_name()]
