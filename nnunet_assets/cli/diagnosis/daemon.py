"""The daemon of the project's instance: without one nothing starts by itself, and two start each run twice."""

import shlex
from collections.abc import Iterator

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.instance_state import runs_elsewhere
from nnunet_assets.project_folder.running_daemons import find_daemons
from nnunet_assets.settings import Settings


def daemon_findings(settings: Settings) -> Iterator[Finding]:
    """Looks who works on the instance, on this machine or by the lock of the instance."""
    yield from _elsewhere(settings)
    found = list(find_daemons(settings.project))
    if not found:
        start = f"nnunet-assets up {shlex.quote(str(settings.project))}"
        yield Finding("ok", "Dagster's daemon", f"none runs; what waits in the queue starts with `{start}`")
    for daemon in found:
        is_first = daemon is found[0]
        said = daemon.who if is_first else f"{daemon.who} is a second one: each run is started twice."
        yield Finding("ok" if is_first else "error", "Dagster's daemon", said, "" if is_first else daemon.remedy)


def _elsewhere(settings: Settings) -> Iterator[Finding]:
    """Looks for runs of other machines, which nobody here may call dead."""
    if not (settings.dagster_home / "dagster.yaml").exists():
        return
    try:
        runs = runs_elsewhere(settings.project)
    except ConfigError:  # told by whoever looks at the instance
        return
    for host, n in sorted(runs.items()):
        found = f"{n} {'goes' if n == 1 else 'go'} on there, as Dagster has it; a daemon on that machine alone knows"
        remedy = "Where that machine is gone for good: Terminate with Force in the web UI, and start them anew."
        yield Finding("ok", f"runs on {host}", found, remedy)
