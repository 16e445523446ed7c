"""What an instance holds that only Dagster itself, or another machine, wrote."""

from pathlib import Path

import dagster as dg

from nnunet_assets.cli.diagnosis.daemon import daemon_findings
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.files.layout import TRAINING_POOL
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.instance_state import pool_limit, runs_elsewhere
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import Settings


def test_a_limit_that_dagster_took_from_its_default_is_not_a_limit_that_was_set(tmp_path: Path) -> None:
    ensure_instance(tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path / ".dagster")) as instance:
        instance.event_log_storage.delete_concurrency_limit(TRAINING_POOL)
        # What Dagster does when a step asks for a slot of a pool that it does not know yet.
        instance.event_log_storage.initialize_concurrency_limit_to_default(TRAINING_POOL)

    assert pool_limit(tmp_path) is None


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
