"""What a fold's process asks of a cluster: the same value in the declaration, the job, the manifest and MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Resources:
    """What one job is to get, and how its surroundings are made.

    Attributes:
        gpus: GPUs of the one machine that it runs on; a part of one, such as 0.5, where the cluster shares them.
        gpu_type: As the cluster names its models; None: any.
        cpus: Processors; None: as many as the cluster gives unasked.
        memory_gb: Memory in GiB; None: as much as the cluster gives unasked.
        time_limit_minutes: When the job is ended; None: the partition's limit.
        partition: None: the cluster's default.
        account: None: the user's default.
        options: Further options of the cluster's own command, each one argument: `--qos=long`.
        modules: Environment modules that are loaded before Python starts.
        prologue: A file of the user's that bash reads before that, by its absolute path; None: none.
        address: Where the cluster is reached; None: where its own variable, or this machine, says.
        custom_resources: What else of a machine it takes, by the cluster's own names: `{"fast_disk": 1}`.
    """

    gpus: int | float = 1
    gpu_type: str | None = None
    cpus: int | None = None
    memory_gb: float | None = None
    time_limit_minutes: int | None = None
    partition: str | None = None
    account: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    prologue: str | None = None
    address: str | None = None
    custom_resources: Mapping[str, int | float] = field(default_factory=dict)
