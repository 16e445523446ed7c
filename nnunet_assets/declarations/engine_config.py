"""Where folds train, as a project and each of its experiments may declare it.

What becomes an argument of a cluster's command is one argument, whatever it holds, and none that decides how the job is
supervised. Nothing of it becomes text that a shell or the cluster's reader of scripts takes for its own.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.declarations.fields import Declaration

EngineKind = Literal["local", "slurm"]

OWN_OPTIONS = (
    *("--array", "--batch", "--chdir", "--clusters", "--cpus-per-gpu", "--cpus-per-task", "--account", "--error"),
    *("--export", "--export-file", "--get-user-env", "--gid", "--gpus", "--gpus-per-node", "--gpus-per-socket"),
    *("--gpus-per-task", "--gres", "--help", "--hold", "--input", "--job-name", "--mem", "--mem-per-cpu"),
    *("--mem-per-gpu", "--no-requeue", "--nodes", "--ntasks", "--ntasks-per-core", "--ntasks-per-gpu"),
    *("--ntasks-per-node", "--ntasks-per-socket", "--open-mode", "--output", "--parsable", "--partition", "--quiet"),
    *("--requeue", "--signal", "--test-only", "--time", "--uid", "--usage", "--verbose", "--version", "--wait"),
    *("--wait-all-nodes", "--wrap"),
)
"""Options of `sbatch` by which the job is supervised, or that have a field of their own."""


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.,:@+=/-]{0,199}", text):
        raise ValueError(f"{text!r} is not a name of letters, digits and _ . , : @ + = / - that begins with one")
    return text


def _option(text: str) -> str:
    if not re.fullmatch(r"--[a-z][a-z0-9-]*(=[^\x00-\x1f\x7f]*)?", text):
        raise ValueError(
            f"{text!r} is not one option in the form --name or --name=value, without a line break; each has a line of "
            "its own in the list"
        )
    name = text.partition("=")[0]
    # Also the beginning of a name, which sbatch takes for the whole.
    if taken := next((own for own in OWN_OPTIONS if own.startswith(name)), None):
        raise ValueError(
            f"{text!r}: {taken} is set by nnunet_assets. GPUs, processors, memory, time, partition and account have "
            "fields of their own"
        )
    return text


def _file(text: str) -> str:
    if not text.startswith("/") or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError(f"{text!r} is not the absolute path of a file, without a line break")
    return text


Word = Annotated[str, AfterValidator(_word)]


class EngineConfig(Declaration):
    """On which engine a fold's process runs, and what it gets there. What is absent is the project's, or the engine's.

    A project's own stand in `engine.yaml` of its folder; an experiment's, in its field `engine`, go before them.
    """

    kind: EngineKind | None = None
    """local: on the machine that supervises the fold; slurm: in a job of Slurm. Absent: as the project, or local."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs of a job. Absent: as many as the fold trains on (num_gpus), none where its device is cpu."""
    gpu_type: Word | None = None
    """The model of the GPUs, as the cluster calls it. Absent: any."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processors of a job, from which the numbers of workers are computed. Absent: as the cluster gives unasked."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory of a job, in GiB. Absent: as the cluster gives unasked."""
    time_limit_minutes: Annotated[int, Field(ge=1)] | None = None
    """When a job is ended; the fold then goes on in another. Absent: the partition's limit."""
    partition: Word | None = None
    """Absent: the cluster's default."""
    account: Word | None = None
    """Absent: the user's default."""
    options: list[Annotated[str, AfterValidator(_option)]] | None = None
    """Further options of the cluster's command, such as ["--qos=long"]. Absent: none."""
    modules: list[Word] | None = None
    """Environment modules that a job loads before it begins, such as [cuda/12.1]. Absent: none."""
    prologue: Annotated[str, AfterValidator(_file)] | None = None
    """A file that bash reads in the job before the modules are loaded, by its absolute path. Absent: none."""

    def over(self, base: "EngineConfig") -> "EngineConfig":
        """Returns this with what it leaves out taken from another one."""
        return base.model_copy(update=self.model_dump(exclude_none=True))

    @property
    def chosen(self) -> EngineKind:
        """The engine, where nothing is left to come before it."""
        return self.kind or "local"

    @property
    def is_here(self) -> bool:
        """Whether the devices and the processors of this machine are those that folds train on."""
        return self.chosen == "local"

    def resources(self, *, device: str, num_gpus: int) -> Resources:
        """Returns what a job gets.

        Args:
            device: Of the training: `auto`, `cuda`, `cpu` or `mps`.
            num_gpus: GPUs that it uses together.
        """
        gpus = self.gpus if self.gpus is not None else 0 if device == "cpu" else num_gpus
        lists: dict[str, Any] = {name: tuple(getattr(self, name) or ()) for name in ("options", "modules")}
        rest = self.model_dump(include=set(EngineConfig.model_fields) - {"kind", "gpus", *lists}, exclude_none=True)
        return Resources(gpus=gpus, **rest, **lists)

    def problem_with(self, *, device: str, num_gpus: int) -> str | None:
        """Returns what is wrong for a training, as a sentence without its full stop; None: nothing.

        Args:
            device: As for `resources`.
            num_gpus: As for `resources`.
        """
        if self.is_here or self.gpus is None or device in ("cpu", "mps") or self.gpus >= num_gpus:
            return None
        return f"the job gets {self.gpus} GPUs, and the fold trains on {num_gpus} (num_gpus): ask for as many"


class ProjectEngine(EngineConfig):
    """What `engine.yaml` of a project's folder declares."""

    folds_at_once: Annotated[int, Field(ge=1)] = 5
    """How many folds may be in jobs of the cluster at once, those that wait in its queue included."""
