"""The project's settings, declarations, Dagster instance and tracking store."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

from nnunet_assets.cli.diagnosis.declared_things import absent_findings
from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.core.files.layout import JOBS_POOL, TRAINING_POOL
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.declarations.engine_file import ENGINE_FILE
from nnunet_assets.declarations.project import read_project
from nnunet_assets.declarations.yaml_files.settings_file import readable_settings
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.processes.variables import FOLDERS, PROJECT_VARIABLE, TRACKS_VARIABLE, unread_variables
from nnunet_assets.project_folder.dagster_home import count_gpus, unset_settings
from nnunet_assets.project_folder.instance_state import pool_limit, runs_at_once
from nnunet_assets.project_folder.jobs_at_once import OTHER_RUNS, jobs_at_once
from nnunet_assets.project_folder.private_files import open_to_others
from nnunet_assets.project_folder.workspace_file import NOWHERE, WORKSPACE_FILE, imports_from
from nnunet_assets.settings import ENV_FILE, Settings, project_variables, wrong_variables


def read_settings(project: Path) -> tuple[Settings, list[Finding]]:
    """Returns the settings, and what is wrong with the variables; the settings are those without the wrong ones."""
    root = project.resolve()
    try:
        variables = project_variables(root)
    except ConfigError as error:
        remedy = "Correct it. The checks below do without what it sets."
        return Settings.from_environment(root, {}), [Finding("error", ENV_FILE, str(error), remedy)]
    problems = wrong_variables(root, variables)
    left_out = {problem.name for problem in problems}
    if not left_out.isdisjoint(FOLDERS):
        left_out.update(FOLDERS)  # they are set together
    settings = Settings.from_environment(root, {n: value for n, value in variables.items() if n not in left_out})
    return settings, [
        Finding("ok", "project", str(settings.project)),
        *(Finding("error", problem.name, problem.sentence, problem.remedy) for problem in problems),
        *(Finding("warning", name, sentence) for name, sentence in unread_variables(variables)),
    ]


def declaration_findings(settings: Settings) -> Iterator[Finding]:
    """Reads the project's YAML files."""
    try:
        project = read_project(settings.project)
    except ConfigError as error:
        remedy = f"nnunet-assets check-config --project {shlex.quote(str(settings.project))}"
        yield Finding("error", "declarations", str(error).splitlines()[0], remedy)
        return
    absent = list(absent_findings(project, settings))
    yield from absent
    if not absent:
        found = f"datasets: {len(project.datasets)}, experiments: {len(project.experiments)}"
        yield Finding("ok", "declarations", found)


def instance_findings(settings: Settings) -> Iterator[Finding]:
    """Looks at Dagster's instance, and at what Dagster's own commands would take for it."""
    yield from _variable_findings(settings)
    for path in open_to_others(settings.project):
        remedy = f"`nnunet-assets dev` and `up` change that; or: chmod go= {shlex.quote(str(path))}"
        yield Finding("warning", path.name, f"{path} can be read by other users of this machine.", remedy)
    if folder := imports_from(settings.project):
        remedy = f"Set working_directory: {NOWHERE} there; what is in `experiments` is found without it."
        found = f"Dagster imports modules from {folder} before all others."
        yield Finding("warning", WORKSPACE_FILE, found, remedy)
    if not (settings.dagster_home / "dagster.yaml").exists():
        remedy = "`nnunet-assets dev`, `up` and `demo` write it."
        yield Finding("warning", "Dagster's instance", f"{settings.dagster_home} has no dagster.yaml.", remedy)
        return
    try:
        limit = pool_limit(settings.project)
    except ConfigError as error:  # a sentence with what to do
        yield Finding("error", "Dagster's instance", str(error))
        return
    except Exception as error:  # noqa: BLE001  # whatever keeps Dagster from opening it is the finding
        remedy = f"Correct {settings.dagster_home / 'dagster.yaml'}, or move it away: it is written anew."
        yield Finding("error", "Dagster's instance", f"cannot be opened: {' '.join(str(error).split())}", remedy)
        return
    yield Finding("ok", "Dagster's instance", str(settings.dagster_home))
    file = settings.dagster_home / "dagster.yaml"
    yield from _unset_findings(file)
    yield from job_findings(settings)
    n_devices = max(1, count_gpus(settings.variables))
    found = f"folds at once: {'1, by default' if limit is None else limit}; devices: {n_devices}"
    if (1 if limit is None else limit) == n_devices:
        yield Finding("ok", f"pool {TRAINING_POOL}", found)
    else:
        # `dagster instance` reads no .env, unlike `dagster dev`.
        home = shlex.quote(str(settings.dagster_home))
        remedy = (
            f"Unless it is meant so: DAGSTER_HOME={home} dagster instance concurrency set {TRAINING_POOL} {n_devices}"
        )
        yield Finding("warning", f"pool {TRAINING_POOL}", f"{found}.", remedy)


def job_findings(settings: Settings) -> Iterator[Finding]:
    """Compares how many folds are to be in a cluster's jobs at once with what Dagster's instance lets."""
    wanted = jobs_at_once(settings.project)
    if wanted is None:
        return
    limit, runs = pool_limit(settings.project, JOBS_POOL), runs_at_once(settings.project)
    found = f"folds at once in jobs: {wanted} ({ENGINE_FILE})"
    if limit != wanted:
        remedy = "`nnunet-assets dev`, `up` and `backfill` set it as declared."
        yield Finding("warning", f"pool {JOBS_POOL}", f"{found}; Dagster lets {limit or 1}.", remedy)
    elif runs is not None and runs < wanted + OTHER_RUNS:
        remedy = f"Set max_concurrent_runs: {wanted + OTHER_RUNS} in {settings.dagster_home / 'dagster.yaml'}."
        yield Finding("warning", f"pool {JOBS_POOL}", f"{found}; Dagster lets {runs} runs go on at once.", remedy)
    else:
        yield Finding("ok", f"pool {JOBS_POOL}", found)


def _unset_findings(file: Path) -> Iterator[Finding]:
    """Says what an instance's settings lack that a new project's have."""
    written = readable_settings(file)
    for name, value in unset_settings(file).items():
        wanted = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
        if name in written:
            found = f"{file} does not set all of it, unlike a new project's."
            yield Finding("warning", f"Dagster's {name}", found, f"Add to its {name}, or say otherwise: {wanted}")
        else:
            found = f"{file} does not set it, unlike a new project's."
            yield Finding("warning", f"Dagster's {name}", found, f"Add to it, or say otherwise: {name}: {wanted}")


def _variable_findings(settings: Settings) -> Iterator[Finding]:
    home = settings.variables.get("DAGSTER_HOME")
    remedy = f"Set DAGSTER_HOME={settings.dagster_home} in the project's .env, or use `nnunet-assets dev`."
    if not home:
        found = "is not set: plain `dagster dev` would forget its runs when it ends."
        yield Finding("warning", "DAGSTER_HOME", found, remedy)
    elif not Path(home).is_absolute():
        yield Finding("error", "DAGSTER_HOME", f"is {home!r}, and Dagster refuses a path that is not absolute.", remedy)
    elif Path(home).resolve() != settings.dagster_home:
        found = f"is {home}, so plain `dagster dev` keeps its runs outside this project."
        yield Finding("warning", "DAGSTER_HOME", found, remedy)
    project = settings.variables.get(PROJECT_VARIABLE)
    if project and Path(project).resolve() != settings.project:
        remedy = f"Set {PROJECT_VARIABLE}={settings.project}, or unset it. After moving the project, correct its .env."
        found = f"is {project}: plain `dagster dev` would load that project, not {settings.project}."
        yield Finding("error", PROJECT_VARIABLE, found, remedy)


def tracking_findings(settings: Settings) -> Iterator[Finding]:
    """Asks the tracking store for its experiments; a file that is still to be made is not made by looking."""
    from nnunet_assets.tracking.store.client import is_to_be_made, probe
    from nnunet_assets.tracking.store.destination import Destination, is_local

    if settings.tracking_uri.startswith("http://") and not is_local(settings.tracking_uri):
        found = f"{redacted(settings.tracking_uri)} is reached without encryption: whoever is on the way reads along."
        yield Finding(
            "warning", "tracking", found, "Have the server behind https, and set MLFLOW_TRACKING_URI to that."
        )
    if not settings.tracks:
        yield Finding(
            "warning", "tracking", f"is switched off by {TRACKS_VARIABLE}.", "Unset it, to have runs in MLflow."
        )
        return
    try:
        if is_to_be_made(settings.tracking_uri):
            yield Finding("ok", "tracking", f"{settings.tracking_uri} (made when it is needed)")
            return
        yield Finding("ok", "tracking", probe(Destination.of(settings)))
    except TrackingError as error:
        yield Finding("error", "tracking", str(error))
    except ImportError as error:
        yield Finding("error", "tracking", f"MLflow cannot be imported: {error}", "pip install mlflow")
