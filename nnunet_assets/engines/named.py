"""The engines by their names, as declarations and records have them."""

from collections.abc import Mapping
from typing import Literal, get_args

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.job_queue import JobQueue
from nnunet_assets.engines.job_watch import Note
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.ray_cluster.queue import RayQueue
from nnunet_assets.engines.slurm_cluster.queue import SlurmQueue
from nnunet_assets.errors import FoldError

EngineName = Literal["local", "slurm", "ray"]


def engine_named(
    name: EngineName, resources: Resources, variables: Mapping[str, str], note: Note = lambda *_: None
) -> Engine:
    """Returns an engine.

    Args:
        name: Which.
        resources: What a job gets; nothing to `local`.
        variables: The environment, by which a cluster's commands are found.
        note: As for `JobEngine`.
    """
    return LOCAL if name == "local" else JobEngine(queue_named(name, variables), resources, note=note)


def queue_named(name: str, variables: Mapping[str, str]) -> JobQueue:
    """Returns a cluster's queue.

    Raises:
        FoldError: This version knows none of that name.
    """
    if name == "slurm":
        return SlurmQueue(variables)
    if name == "ray":
        return RayQueue(variables)
    raise FoldError(
        f"A job of the engine {name!r} trains the fold, and this version of nnunet_assets knows "
        f"{', '.join(get_args(EngineName))}. Use the version that submitted it, or end the job and delete the fold's "
        "job.json."
    )
