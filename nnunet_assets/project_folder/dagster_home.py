"""Dagster's instance in a project: its settings, and how many folds may train at once.

The instance lies in `.dagster` of the project, so that two projects never share runs. What a user changed in it stays.
"""

import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from shlex import quote as quote_for_shell
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import refuse_what_never_ends
from nnunet_assets.core.files.layout import JOBS_POOL, TRAINING_POOL
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import ConfigError, first_offenders
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.jobs_at_once import FEWEST_RUNS, KEPT, jobs_at_once, keep_runs
from nnunet_assets.project_folder.postgres_instance import (
    DAGSTER_URL_VARIABLE,
    STORAGE_YAML,
    instance_database,
    look_at_instance,
    referred_variables,
)
from nnunet_assets.project_folder.postgres_server import DatabaseError, unusable
from nnunet_assets.settings import dagster_home, env_file_variables, in_environment, project_settings, project_variables

if TYPE_CHECKING:
    from dagster import DagsterInstance

DAGSTER_YAML = f"""\
# Settings of Dagster's instance for this project. Edit them freely: they are written only where they are missing.
telemetry:
  enabled: false

# Dagster's dialog "Join the Dagster community", over the first page of every new project.
nux:
  enabled: false

concurrency:
  pools:
    # A pool counts steps, not runs: a fold holds a slot of `nnunet_training` only while it trains.
    # Its limit, one for each device, is set in the web UI under Deployment > Concurrency, or by
    # DAGSTER_HOME="$PWD/.dagster" dagster instance concurrency set nnunet_training N
    granularity: op
    default_limit: 1
  runs:
    {KEPT}
    max_concurrent_runs: {FEWEST_RUNS}

run_queue:
  # A fold that waits starts within a second after the one before it has ended.
  dequeue_interval_seconds: 1
  # A run that cannot leave the queue, as while definitions are reloaded or a database was away, is tried again each
  # minute for an hour, and not failed.
  max_user_code_failure_retries: 60
  user_code_failure_retry_delay: 60

run_launcher:
  # Dagster's own, which also writes on each run on which machine it runs.
  module: nnunet_assets.project_folder.run_launcher
  class: HostRunLauncher

run_monitoring:
  enabled: true
  poll_interval_seconds: 10
  # Without this, a run whose process is gone keeps its slot for ever, and the next fold waits for it. What such a run
  # started ends with it, within 10 seconds.
  free_slots_after_run_end_seconds: 15

# A run whose process was killed, by the system or by a restart of the machine, starts once more, and its fold goes on
# from its last checkpoint. What an asset reports as its failure is not tried again: it would fail again.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
"""

_NVIDIA_SMI_SECONDS = 20


def ensure_instance(project: Path) -> Path:
    """Returns the project's DAGSTER_HOME, with settings, and with a limit of one training a device unless it has one.

    Does nothing where both are there already; but how many folds a cluster's jobs train at once is what the project
    declares now.

    Raises:
        ConfigError: As `pool_limit`; or the settings are a link that leads nowhere.
    """
    settings = project_settings(project)
    home = settings.dagster_home
    file = home / "dagster.yaml"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.is_symlink() and not file.exists():
        raise ConfigError(
            f"{file} is a link that leads nowhere. Put back what it leads to, or remove the link: the settings are "
            "written anew."
        )
    if not file.exists():
        # By the `.env` alone: what a shell happens to set is perhaps another project's.
        storage = STORAGE_YAML if DAGSTER_URL_VARIABLE in env_file_variables(settings.project) else ""
        write_atomically(file, f"{DAGSTER_YAML}{storage}".encode())
    if pool_limit(settings.project) is None:
        set_pool_limit(settings.project, max(1, count_gpus(settings.variables)))
    if (at_once := jobs_at_once(settings.project)) is not None:
        if pool_limit(settings.project, JOBS_POOL) != at_once:
            set_pool_limit(settings.project, at_once, JOBS_POOL)
        keep_runs(file, at_once)
    return home


def unset_settings(dagster_yaml: Path) -> dict[str, Any]:
    """Returns what a new project gets and this file, which an earlier version or a user wrote, says nothing of."""
    written = yaml.safe_load(dagster_yaml.read_bytes()) or {}
    return {name: value for name, value in yaml.safe_load(DAGSTER_YAML).items() if name not in written}


def pool_limit(project: Path, pool: str = TRAINING_POOL) -> int | None:
    """Returns how many folds may train at once, as it was set; None where only Dagster's default applies.

    Args:
        project: A project that has an instance.
        pool: Here, or in a cluster's jobs.

    Raises:
        ConfigError: As `open_instance`. Each database is asked for something: a server that meets a damaged one later
            tells its log alone.
    """
    with open_instance(project) as instance:
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        return pool_limit_of(instance, pool)


def pool_limit_of(instance: "DagsterInstance", pool: str = TRAINING_POOL) -> int | None:
    """Returns the same of an instance that is open already."""
    limits = instance.event_log_storage.get_pool_limits()
    return next((one.limit for one in limits if one.name == pool and not one.from_default), None)


def runs_at_once(project: Path) -> int | None:
    """Returns how many runs may go on at once in a project that has an instance; None: as many as there are.

    Raises:
        ConfigError: As `open_instance`.
    """
    with open_instance(project) as instance:
        queue = instance.get_concurrency_config().run_queue_config
    return queue.max_concurrent_runs if queue and queue.max_concurrent_runs >= 0 else None


def set_pool_limit(project: Path, n: int, pool: str = TRAINING_POOL) -> None:
    """Sets how many folds may train at once, as `dagster instance concurrency set` does.

    Args:
        project: A project whose instance has settings already.
        n: At least 1, normally the number of devices.
        pool: As for `pool_limit`.
    """
    with open_instance(project) as instance:
        instance.event_log_storage.set_concurrency_slots(pool, n)


def last_sign_of_daemon(project: Path) -> float | None:
    """Returns when a daemon last wrote into the instance that it lives, in seconds since 1970; None: none ever did."""
    with open_instance(project) as instance:
        return max((sign.timestamp for sign in instance.get_daemon_heartbeats().values()), default=None)


def runs_elsewhere(project: Path) -> dict[str, int]:
    """Returns how many runs go on, as far as Dagster knows, on each machine that is not this one.

    Raises:
        ConfigError: As `open_instance`.
    """
    from dagster import DagsterRunStatus, RunsFilter

    with_process = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    with open_instance(project) as instance:
        hosts = [run.tags.get(HOST_TAG) for run in instance.get_runs(RunsFilter(statuses=with_process))]
    return dict(Counter(host for host in hosts if host and host != host_name()))


def forget_signs_of_daemon(project: Path) -> None:
    """Takes the signs of a daemon that was ended out of the instance: nobody need wait whether another one comes."""
    with open_instance(project) as instance:
        instance.wipe_daemon_heartbeats()


def schema_problem(project: Path) -> tuple[str, str] | None:
    """Returns what is wrong with the version of the tables of an instance, and what to do; None: nothing.

    Raises:
        ConfigError: As `open_instance`.
    """
    with open_instance(project) as instance:
        versions = instance.event_log_storage.alembic_version()
    if versions is None or versions[0] == versions[1]:
        return None
    found, wanted = versions
    from dagster import __version__

    home = dagster_home(project)
    return (
        f"its tables are of another version ({found}) than the installed Dagster {__version__} works with ({wanted}).",
        f"Have it saved (pg_dump), end all that use it, and: cd {quote_for_shell(str(home.parent))} && "
        "dagster instance migrate",
    )


def count_gpus(variables: Mapping[str, str]) -> int:
    """Returns how many NVIDIA GPUs a process with these variables may use, without loading torch.

    0 where the driver's `nvidia-smi` is missing, fails or hangs.
    """
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=_NVIDIA_SMI_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    # Its slices (MIG) are listed beneath a GPU, indented.
    n_gpus = sum(line.startswith("GPU ") for line in listed.splitlines())
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return n_gpus
    # CUDA ends the list at the first entry that names no device, such as -1.
    chosen = [entry.strip() for entry in visible.split(",")]
    n_chosen = next((index for index, entry in enumerate(chosen) if entry in ("", "-1")), len(chosen))
    return min(n_gpus, n_chosen)


@contextmanager
def open_instance(project: Path) -> "Iterator[DagsterInstance]":
    """Opens the instance of a project that has one, in this process.

    Raises:
        ConfigError: Its settings or its databases cannot be read; Dagster lets through what YAML, SQLite and psycopg2
            raise.
    """
    home = dagster_home(project)
    try:
        with suppress(FileNotFoundError):
            refuse_what_never_ends(home / "dagster.yaml")
    except OSError as error:
        raise _unopened(home, error) from error
    variables = project_variables(home.parent)
    database = instance_database(home / "dagster.yaml", variables)
    if database:
        # Dagster tries for a quarter of a minute to reach a server that is down.
        look_at_instance(database)
    referred = referred_variables(home / "dagster.yaml")
    with in_environment({name: variables[name] for name in referred if name in variables}):
        instance = _opened(home)
        try:
            with instance:
                yield instance
        except Exception as error:
            if isinstance(error.__cause__, sqlite3.Error):
                raise _of_databases(home, error.__cause__) from error
            if database and (said := _said_by_server(error)):
                raise DatabaseError(unusable(said, database.url, database.name)) from error
            raise


def _opened(home: Path) -> "DagsterInstance":
    from dagster import DagsterInstance

    try:
        return DagsterInstance.from_config(str(home))
    except Exception as error:
        if isinstance(error.__cause__, sqlite3.Error):
            raise _of_databases(home, error.__cause__) from error
        raise _unopened(home, error) from error


def _unopened(home: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"Dagster's instance in {home} cannot be opened: {_one_line(error)}. Correct {home / 'dagster.yaml'}, or "
        "move it away: it is written anew."
    )


def _said_by_server(error: BaseException) -> str | None:
    """Returns what psycopg2 said, where it is the origin of an error."""
    link: BaseException | None = error
    while link is not None:
        if type(link).__module__.partition(".")[0] == "psycopg2":
            return str(link)
        link = link.__cause__ or link.__context__
    return None


def _of_databases(home: Path, error: sqlite3.Error) -> ConfigError:
    named = first_offenders([path for path in sorted(home.rglob("*.db")) if _is_damaged(path)])
    problem = f"{_one_line(error)}: {named}" if named else _one_line(error)
    return ConfigError(
        f"Dagster's instance in {home} cannot be used: {problem}. Put a backup in its place, "
        "or move the folder away: then what Dagster recorded of runs and materializations is gone, and the folds stay."
    )


def _is_damaged(database: Path) -> bool:
    if not database.is_file():
        return True
    try:
        # Not `mode=ro`, to which what a kill left half written looks damaged: SQLite takes it back, and writes for it.
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True)) as opened:
            return bool(opened.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.Error:
        return True


def _one_line(error: BaseException) -> str:
    text = redacted(" ".join(str(error).split())) or type(error).__name__
    return (text if len(text) <= 300 else f"{text[:300]} ...").rstrip(".")
