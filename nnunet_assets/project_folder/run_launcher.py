"""Dagster's own launcher, which also writes on each run on which machine its process is started.

`dagster.yaml` names it. The numbers of processes mean something on their own machine alone: without the tag a daemon on
another one, of the same database, takes a run that lives for dead.
"""

import dagster as dg
from dagster._core.launcher.base import LaunchRunContext

from nnunet_assets.processes.host_name import HOST_TAG, host_name


class HostRunLauncher(dg.DefaultRunLauncher):
    """Starts each run beside the code server, on the machine of the daemon that takes it out of the queue."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts a run's process; a run that is tried again loses the machine of the one before."""
        # Before there is a process: whoever sees one knows where.
        self._instance.add_run_tags(context.dagster_run.run_id, {HOST_TAG: host_name()})
        super().launch_run(context)
