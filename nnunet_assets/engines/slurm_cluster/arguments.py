"""What `sbatch` is called with. Nothing that a user wrote becomes shell text: no shell reads these arguments."""

from nnunet_assets.engines.job_files import JOB_LOG_FILE, SCRIPT_FILE
from nnunet_assets.engines.job_queue import JobOrder

WARNING_SECONDS = 300
"""How long before its end the job is told to save: most epochs end within. Slurm tells up to a minute early."""


def sbatch_arguments(order: JobOrder) -> list[str]:
    """Returns what `sbatch` is called with; the job is held."""
    asked, log = order.resources, str(order.folder / JOB_LOG_FILE)
    limit = asked.time_limit_minutes
    warning = WARNING_SECONDS if limit is None else min(WARNING_SECONDS, 60 * limit // 4)
    gpus = f"gpu:{asked.gpu_type}:{asked.gpus}" if asked.gpu_type else f"gpu:{asked.gpus}"
    given = {
        "--cpus-per-task": asked.cpus,
        "--mem": None if asked.memory_gb is None else f"{round(asked.memory_gb * 1024)}M",
        "--gres": gpus if asked.gpus else None,
        "--time": limit,
        "--partition": asked.partition,
        "--account": asked.account,
    }
    return [
        "--parsable",
        "--hold",
        # A lost node ends the job: whoever supervises it decides what comes then.
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name={order.name}",
        # Slurm's own patterns begin with %.
        f"--output={log.replace('%', '%%')}",
        "--open-mode=append",
        f"--chdir={order.folder}",
        f"--signal=B:USR1@{warning}",
        *(f"{option}={value}" for option, value in given.items() if value is not None),
        *asked.options,
        str(order.folder / SCRIPT_FILE),
    ]
