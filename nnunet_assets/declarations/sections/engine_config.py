"""Where folds train, as a project and each of its experiments may declare it.

What becomes an argument of a cluster's command is one argument, whatever it holds, and none that decides how the job is
supervised. Nothing of it becomes text that a shell or the cluster's reader of scripts takes for its own.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.declarations.fields import Declaration

EngineKind = Literal["local", "slurm", "ray"]

OF_ONE_ENGINE = {
    "slurm": ("time_limit_minutes", "partition", "account", "options"),
    "ray": ("address", "custom_resources"),
}
"""Fields that one engine alone understands."""

_TITLES = {"slurm": "Slurm", "ray": "Ray"}

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


def _address(text: str) -> str:
    if text != "auto" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}:[0-9]{1,5}", text):
        raise ValueError(
            f"{text!r} is not where a Ray cluster is reached: HOST:PORT of its head, such as 10.0.0.1:6379, or auto"
        )
    return text


def _gpus(number: float) -> float:
    if not math.isfinite(number) or (number > 1 and number != int(number)):
        raise ValueError(f"{number} is neither a whole number of GPUs nor a part of one")
    return _amount(number)


def _amount(number: float) -> float:
    return int(number) if math.isfinite(number) and number == int(number) else number


Word = Annotated[str, AfterValidator(_word)]
Gpus = Annotated[float, Field(ge=0), AfterValidator(_gpus)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_amount)]


class EngineConfig(Declaration):
    """On which engine a fold's process runs, and what it gets there. What is absent is the project's, or the engine's.

    A project's own stand in `engine.yaml` of its folder; an experiment's, in its field `engine`, go before them.
    """

    kind: EngineKind | None = None
    """local: where the fold is supervised; slurm: in a job of Slurm; ray: in a task of Ray. Absent: as the project."""
    gpus: Gpus | None = None
    """GPUs of a job; by Ray also a part of one. Absent: as many as the fold trains on, none where its device is cpu."""
    gpu_type: Word | None = None
    """The model of the GPUs, as the cluster calls it. Absent: any."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processors of a job, from which the numbers of workers are computed. Absent: as Slurm gives unasked."""
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
    address: Annotated[str, AfterValidator(_address)] | None = None
    """Where Ray's head is reached, such as 10.0.0.1:6379. Absent: RAY_ADDRESS, or the cluster of this machine."""
    custom_resources: dict[Word, Amount] | None = None
    """What else of a node a Ray task takes, by the names that `ray start --resources` gave. Absent: nothing."""

    @field_validator(*(name for names in OF_ONE_ENGINE.values() for name in names))
    @classmethod
    def _is_of_this_engine(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and (problem := _foreign(str(info.field_name), info.data.get("kind"))):
            raise ValueError(problem)
        return value

    @field_validator("gpus")
    @classmethod
    def _is_given_by_this_engine(cls, gpus: float | None, info: ValidationInfo) -> float | None:
        if problem := _part_of_a_gpu(gpus, info.data.get("kind")):
            raise ValueError(problem)
        return gpus

    def over(self, base: "EngineConfig") -> "EngineConfig":
        """Returns this with what it leaves out taken from another one, but for what its own engine does not know."""
        left = OF_ONE_ENGINE.get(base.chosen, ()) if self.kind not in (None, base.chosen) else ()
        return base.model_copy(update={**dict.fromkeys(left), **self.model_dump(exclude_none=True)})

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

    def problem_with(self, *, device: str, num_gpus: int, is_whole: bool = False) -> str | None:
        """Returns what is wrong for a training, as a sentence without its full stop; None: nothing.

        Args:
            device: As for `resources`.
            num_gpus: As for `resources`.
            is_whole: Whether what another one declares is taken over already.
        """
        if self.is_here:
            return None
        for name in (name for names in OF_ONE_ENGINE.values() for name in names if getattr(self, name) is not None):
            if problem := _foreign(name, self.chosen):
                return f"{name}: {problem}"
        if problem := _part_of_a_gpu(self.gpus, self.chosen):
            return f"gpus: {problem}"
        if is_whole and self.chosen == "ray" and self.cpus is None:
            return (
                "kind: ray needs `cpus`, the processors of each fold: unasked, Ray counts one, with which no GPU is "
                "kept busy"
            )
        if self.gpus is None or device in ("cpu", "mps") or math.ceil(self.gpus) >= num_gpus:
            return None
        return f"the job gets {self.gpus} GPUs, and the fold trains on {num_gpus} (num_gpus): ask for as many"


class ProjectEngine(EngineConfig):
    """What `engine.yaml` of a project's folder declares."""

    folds_at_once: Annotated[int, Field(ge=1)] = 5
    """How many folds may be in jobs of the cluster at once, those that wait in its queue included."""


def _foreign(name: str, kind: str | None) -> str | None:
    owner = next(engine for engine, names in OF_ONE_ENGINE.items() if name in names)
    if kind not in _TITLES or kind == owner:
        return None
    return f"{_TITLES[kind]} knows nothing of the kind, {_TITLES[owner]} does (kind: {owner})"


def _part_of_a_gpu(gpus: float | None, kind: str | None) -> str | None:
    if kind != "slurm" or gpus is None or gpus == int(gpus):
        return None
    return f"{gpus} is a part of a GPU, and Slurm gives whole ones: ask for 1, or for none"
