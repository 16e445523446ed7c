"""Dagster's home in a project: the settings that its instance gets, and the devices by which they are set.

It is `.dagster` of the project, so that two projects never share runs. What a user changed in it stays.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.layout import JOBS_POOL
from nnunet_assets.declarations.yaml_files.settings_file import readable_settings
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.instance_state import pool_limit, set_pool_limit
from nnunet_assets.project_folder.jobs_at_once import FEWEST_RUNS, KEPT, jobs_at_once, keep_runs
from nnunet_assets.project_folder.postgres_instance import DAGSTER_URL_VARIABLE, STORAGE_YAML
from nnunet_assets.settings import env_file_variables, project_settings

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

compute_logs:
  # Dagster's own, but that a run's output is copied to the terminal by its own process, and not by four more.
  module: nnunet_assets.project_folder.run_output
  class: RunOutput

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
    """Returns what a new project gets and this file, which an earlier version or a user wrote, says nothing of.

    Of a section that is there, only what lacks in it; one that is turned off lacks nothing.
    """
    return _unset(yaml.safe_load(DAGSTER_YAML), readable_settings(dagster_yaml))


def _unset(ours: Mapping[str, Any], written: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not isinstance(written, dict) or written.get("enabled") is False:
        return found
    for name, value in ours.items():
        if name not in written:
            found[name] = value
        elif isinstance(value, dict) and (lacks := _unset(value, written[name])):
            found[name] = lacks
    return found


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
