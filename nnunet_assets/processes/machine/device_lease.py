"""Which fold uses which GPU of this machine, and how many folds share its processors.

Kernel locks in a folder of the user, so that a dead fold's GPU is free at once: `fold-K.lock` for each fold that runs,
`GPU_UUID.K.lock` for each place on a GPU, `choice.lock` while somebody chooses. Runs in the parent, which has no torch:
the GPUs are those that `nvidia-smi` names. Where there is none, nothing is leased and torch decides. Other users of the
machine are seen by the memory they take only.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DeviceError
from nnunet_assets.processes.machine.user_folder import user_folder
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE, FOLDS_PER_GPU_VARIABLE
from nnunet_assets.processes.workers import positive_number, usable_cpus

MAX_FOLDS = 64
POLL_SECONDS = 2.0
NVIDIA_SMI_SECONDS = 20
MIB, GIB = 1024**2, 1024**3
IDLE_BYTES = 2 * GIB
"""What the driver and the session of a person may take of a GPU that nobody computes on."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as `nvidia-smi` sees it.

    Attributes:
        index: In the order of the PCI bus.
        uuid: Names it whatever the order.
        free_bytes: Free memory; None: the driver does not say (memory shared with the processor, MIG).
        total_bytes: As `free_bytes`.
    """

    index: str
    uuid: str
    free_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True)
class DeviceLease:
    """What a fold may use.

    Attributes:
        gpus: Its GPUs; empty: none was leased.
        n_sharing: How many folds share the processors, this one included.
        variables: Environment of the fold's process that says so.
    """

    gpus: Sequence[Gpu]
    n_sharing: int
    variables: Mapping[str, str]


@contextmanager
def device_lease(
    device: str,
    environment: Mapping[str, str],
    *,
    n_gpus: int = 1,
    needed_bytes: int | None = None,
    progress: Progress = SILENT,
    what: str = "The fold",
) -> Iterator[DeviceLease]:
    """Leases what a fold trains on, or anything else computes on, waiting until it is free.

    Args:
        device: `auto`, `cuda`, `cpu` or `mps`; nothing but processors is leased for the last two.
        environment: The fold's; `CUDA_VISIBLE_DEVICES` is the set to choose from, `NNUNET_ASSETS_FOLDS_PER_GPU` how
            many folds may share a GPU (1), `NNUNET_ASSETS_FOLDS_AT_ONCE` among how many the processors are divided
            (as many as the GPUs hold, or as run now, whichever is more).
        n_gpus: How many GPUs the fold uses together.
        needed_bytes: GPU memory that the fold will use; None: not known.
        progress: Is warned where the fold has to wait, and polled about every two seconds of waiting.
        what: Who waits, as the beginning of a sentence.

    Raises:
        ConfigError: A variable is not a positive number.
        DeviceError: The fold wants more GPUs than there are, or the folder of the locks belongs to somebody else.
    """
    per_gpu = positive_number(environment, FOLDS_PER_GPU_VARIABLE) or 1
    at_once = positive_number(environment, FOLDS_AT_ONCE_VARIABLE)
    folder = user_folder()
    gpus = usable_gpus(environment) if device in {"auto", "cuda"} else []
    refuse_too_few(gpus, n_gpus)
    with ExitStack() as held:
        chosen: list[Gpu] = []
        waits = False
        while gpus and not chosen:
            with kernel_lock(folder / "choice.lock"):
                chosen = _take(held, folder, gpus, n_gpus=n_gpus, per_gpu=per_gpu, needed_bytes=needed_bytes)
            if not chosen:
                if not waits:
                    progress.warn(_why_it_waits(what, gpus, n_gpus, needed_bytes))
                waits = True
                progress.poll()
                time.sleep(POLL_SECONDS)
                # Their free memory changes; one that fell off the bus is gone.
                gpus = usable_gpus(environment) or gpus
        with kernel_lock(folder / "choice.lock"):
            n_running = _count_folds(held, folder)
        n_sharing = at_once or max(n_running, len(gpus) * per_gpu // n_gpus)
        yield DeviceLease(chosen, n_sharing, _variables(chosen, environment, n_sharing))


def _variables(gpus: Sequence[Gpu], environment: Mapping[str, str], n_sharing: int) -> dict[str, str]:
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus)}
    # torch takes every processor unless it is told; two trainings that both do slow each other many times.
    n_threads = max(1, usable_cpus() // n_sharing)
    return {} if environment.get("OMP_NUM_THREADS") else {"OMP_NUM_THREADS": str(n_threads)}


# --- the GPUs -----------------------------------------------------------------------------------------------------


def usable_gpus(environment: Mapping[str, str]) -> list[Gpu]:
    """Returns the GPUs that a process with this environment may use; none where `nvidia-smi` is missing or fails."""
    lines = ask_nvidia_smi("index,uuid,memory.free,memory.total", environment)
    gpus = [gpu for gpu in map(_parse, lines) if gpu is not None]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return gpus if visible is None else _visible(gpus, visible)


def refuse_too_few(gpus: Sequence[Gpu], n_gpus: int) -> None:
    """Passes where there are as many GPUs as wanted, or none is known of.

    Raises:
        DeviceError: There are fewer.
    """
    if gpus and n_gpus > len(gpus):
        raise DeviceError(f"The fold is to use {n_gpus} GPUs, and there are {len(gpus)}: {_names(gpus)}.")


def gpu_models(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns UUID to model of the machine's GPUs, as torch calls them."""
    lines = ask_nvidia_smi("uuid,name", environment)
    return dict(line.split(", ", 1) for line in lines if ", " in line)


def ask_nvidia_smi(fields: str, environment: Mapping[str, str]) -> list[str]:
    """Returns a line for each GPU with these fields; none where `nvidia-smi` is missing, fails or hangs."""
    try:
        return subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=True,
            timeout=NVIDIA_SMI_SECONDS,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


def _parse(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() or part in {"[N/A]", "[Not Supported]"} for part in parts[2:]):
        return None  # the driver says that it is lost, or in an error state
    free, total = (int(part) * MIB if part.isdecimal() else None for part in parts[2:])
    return Gpu(parts[0], parts[1], free, total)


def _visible(gpus: Sequence[Gpu], visible: str) -> list[Gpu]:
    """Returns the GPUs that CUDA_VISIBLE_DEVICES names, by index or by the start of a UUID, as far as CUDA reads it.

    An index counts in the order of `nvidia-smi`, which is CUDA's with CUDA_DEVICE_ORDER=PCI_BUS_ID. A slice of a GPU
    (MIG) is taken by its name.
    """
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        named = [gpu for gpu in gpus if entry and (gpu.index == entry or gpu.uuid.startswith(entry))]
        if entry.startswith("MIG-"):
            named = [Gpu(entry, entry, None, None)]
        if len(named) != 1:
            break
        chosen += named
    return chosen


# --- the locks ----------------------------------------------------------------------------------------------------


def _take(
    held: ExitStack, folder: Path, gpus: Sequence[Gpu], *, n_gpus: int, per_gpu: int, needed_bytes: int | None
) -> list[Gpu]:
    """Takes a place on as many GPUs as wanted, the emptiest first; none where there are not enough."""
    places = [(gpu, free, used) for gpu in gpus for free, used in [_places(folder, gpu, per_gpu)] if free]
    fitting = [(gpu, free, used) for gpu, free, used in places if _fits(gpu, used, per_gpu, needed_bytes)]
    if len(fitting) < n_gpus:
        return []
    # By folds first: one that has just begun has not taken its memory yet.
    fitting.sort(key=lambda place: (place[2], -(place[0].free_bytes or 0)))
    for _, free, _ in fitting[:n_gpus]:
        held.enter_context(kernel_lock(free, timeout=0))
    return [gpu for gpu, _, _ in fitting[:n_gpus]]


def _places(folder: Path, gpu: Gpu, per_gpu: int) -> tuple[Path | None, int]:
    """Returns the lock of a free place on a GPU, None where there is none, and how many places are taken."""
    locks = [folder / f"{gpu.uuid.replace('/', '_')}.{place}.lock" for place in range(per_gpu)]
    free = [lock for lock in locks if not _is_held(lock)]
    return (free[0] if free else None), len(locks) - len(free)


def _fits(gpu: Gpu, n_folds: int, per_gpu: int, needed_bytes: int | None) -> bool:
    if gpu.free_bytes is None or gpu.total_bytes is None:
        return True
    # Not known: its share of a GPU that others use too, and whatever there is of one that is its own.
    needed = needed_bytes or (gpu.total_bytes // per_gpu if n_folds else 0)
    # What no emptier GPU could hold is tried: the driver and the process know better.
    # An idle one has a little less free than it has: an earlier fold that filled it must fit again.
    return gpu.free_bytes >= needed or (needed > gpu.total_bytes - IDLE_BYTES and not n_folds)


def _why_it_waits(what: str, gpus: Sequence[Gpu], n_gpus: int, needed_bytes: int | None) -> str:
    needs = f" with {needed_bytes / GIB:.1f} GiB free, which an earlier fold used" if needed_bytes else ""
    wanted = "a GPU" if n_gpus == 1 else f"{n_gpus} GPUs"
    return (
        f"{what} waits for {wanted}{needs}. Other folds or predictions use what there is, or too little of it is free: "
        f"{_names(gpus)}. Several folds share a GPU where {FOLDS_PER_GPU_VARIABLE} says so."
    )


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(
        f"GPU {gpu.index}" + (f" ({gpu.free_bytes / GIB:.1f} GiB free)" if gpu.free_bytes is not None else "")
        for gpu in gpus
    )


def _count_folds(held: ExitStack, folder: Path) -> int:
    """Takes the fold's own lock and returns how many folds run, this one included."""
    locks = [folder / f"fold-{place}.lock" for place in range(MAX_FOLDS)]
    free = [lock for lock in locks if not _is_held(lock)]
    if free:
        held.enter_context(kernel_lock(free[0], timeout=0))
    return len(locks) - len(free) + 1


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with kernel_lock(path, timeout=0):
            return False
    except Timeout:
        return True
