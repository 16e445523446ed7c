"""What Dagster's instance of a project holds: how much may go on at once, signs of its daemon, runs, its tables."""

from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import TRAINING_POOL
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import dagster_home

if TYPE_CHECKING:
    from dagster import DagsterInstance


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
        f"Have it saved (pg_dump), end all that use it, and: cd {quote(str(home.parent))} && dagster instance migrate",
    )
