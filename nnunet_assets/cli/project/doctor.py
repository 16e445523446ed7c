"""`doctor`: the checks one under the other, each problem with what to do."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.text import Text

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.cli.exit_codes import DONE, ERROR
from nnunet_assets.cli.project_option import project_option_if_any
from nnunet_assets.cli.terminal import console
from nnunet_assets.core.progress import SILENT

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command()
@click.option("--probe", is_flag=True, help="Have a small job of the declared cluster try locks and clocks there.")
@project_option_if_any
def doctor(project: Path, probe: bool) -> int:
    """Check what a project needs to train, and say what to do about each problem.

    Ends with 1 where something is wrong (✗); what only deserves attention (!) leaves it at 0.
    """
    terminal = console()
    with terminal.status("Looking at packages, devices, folders, Dagster's instance and the tracking store ..."):
        findings = list(_findings(project, probe=probe))
    for line in _lines(findings):
        terminal.print(line)
    n_errors = sum(finding.level == "error" for finding in findings)
    n_warnings = sum(finding.level == "warning" for finding in findings)
    if n_errors:
        terminal.print(f"{n_errors} of {len(findings)} checks failed.")
    else:
        terminal.print(
            f"No check failed; what deserves attention (!): {n_warnings}." if n_warnings else "Nothing is wrong."
        )
    return ERROR if n_errors else DONE


def _findings(project: Path, *, probe: bool) -> Iterator[Finding]:
    from nnunet_assets.cli.diagnosis import daemon, databases, installation, locks, machine, project_state, ray_cluster

    yield from installation.package_findings()
    yield from installation.nnunet_findings()
    settings, of_variables = project_state.read_settings(project)
    yield from of_variables
    yield from installation.torch_findings(settings.child_environment())
    yield from project_state.declaration_findings(settings)
    yield from ray_cluster.ray_findings(settings)
    of_databases = list(databases.database_findings(settings))
    yield from of_databases
    wrong = {f.what for f in of_databases if f.level == "error"}
    if databases.DAGSTER not in wrong:
        yield from project_state.instance_findings(settings)
        yield from daemon.daemon_findings(settings)
    if databases.MLFLOW not in wrong:
        yield from project_state.tracking_findings(settings)
    yield from machine.folder_findings(settings)
    yield from locks.lock_findings(settings, SILENT, on_engine=probe)
    yield from machine.memory_findings()
    yield from machine.worker_findings(settings.variables, {f.what for f in of_variables if f.level == "error"})


def _lines(findings: list[Finding]) -> Iterator[Text]:
    """Yields the findings below each other, and no table, which would cut long paths or break them."""
    room = max((len(finding.what) for finding in findings), default=0)
    for finding in findings:
        mark, color = _MARKS[finding.level]
        found = finding.found + (f"\n→ {finding.remedy}" if finding.remedy else "")
        indented = found.replace("\n", "\n" + " " * (room + 5))
        yield Text.assemble((mark, color), f"  {finding.what:{room}}  {indented}")
