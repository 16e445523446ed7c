"""How busy the machine is while a fold trains: sampled by who started its process, spooled on disk, sent with epochs.

Spooled in `fold_k/.nnunet_assets/system.jsonl`, in the journal's form of lines: an `epoch` record is one sample, its
number the step. A sample costs some milliseconds of this process and one call of nvidia-smi where there is one; what
cannot be sampled is left out. MLflow's own monitor asks the server at each sample, ends for good when that does not
answer once, and measures the machine in place of the fold.
"""

import logging
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import psutil

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records, truncate_after_epoch

SAMPLE_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""Until the first sample, and between two looks whether the training began: one of a minute has a curve too."""

# Series, by MLflow's names; all names of MLflow's are told in `tracking.store.names`.
SYSTEM_CPU = "system/cpu_percent"
"""Of the fold's processes; 100 is one core."""
SYSTEM_MEMORY = "system/memory_used_bytes"
"""Of the fold's processes; what they share counts once."""
SYSTEM_GPU_MEMORY = "system/gpu_memory_used_bytes"
SYSTEM_GPU_UTILIZATION = "system/gpu_utilization_percent"
SYSTEM_GPU_POWER = "system/gpu_power_watts"

GPU_QUERIES: Mapping[str, tuple[str, Callable[[list[float]], float]]] = {
    "memory.used": (SYSTEM_GPU_MEMORY, lambda values: sum(values) * 1024**2),  # it tells MiB
    "utilization.gpu": (SYSTEM_GPU_UTILIZATION, fmean),
    "power.draw": (SYSTEM_GPU_POWER, sum),
}
"""nvidia-smi's field to series, and how the fold's GPUs become one number: their sum, or the mean of a percentage."""

_logger = logging.getLogger(__name__)


def system_path(fold_folder: Path) -> Path:
    """Returns where a fold's samples lie."""
    return fold_folder / OWN_FOLDER / "system.jsonl"


class SystemSampler:
    """Samples this process's children, which are the fold's, until it is closed; used as a context manager.

    Of a fold in a job that is the job's own process, so that the samples are those of its node. It waits for the
    journal to change, as the tracker does: a fold that is finished already has no samples.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        n_gpus: How many GPUs the fold trains on, the first ones that its process sees.
        seconds: Between two samples.
    """

    def __init__(self, fold_folder: Path, n_gpus: int, *, seconds: float = SAMPLE_SECONDS) -> None:
        self._folder = fold_folder
        self._n_gpus = n_gpus
        self._seconds = seconds
        self._before = self._stamp()
        self._ended = threading.Event()
        self._processes: dict[psutil.Process, psutil.Process] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="system metrics")

    def __enter__(self) -> "SystemSampler":
        """Starts sampling."""
        with suppress(RuntimeError):  # no thread to be had: no samples
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends sampling; a sample under way is waited for, but not for long."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        try:
            seconds = min(LOOK_SECONDS, self._seconds)
            while self._stamp() in (None, self._before):
                if self._ended.wait(seconds):
                    return
            path = system_path(self._folder)
            number = self._first_number(path)
            self._sample()  # a percentage is of the time since the one before
            while not self._ended.wait(seconds):
                append_record(path, "epoch", self._sample(), epoch=number)
                number, seconds = number + 1, self._seconds
        except Exception as error:  # noqa: BLE001 (curves of the machine must never cost a training)
            _logger.warning("The machine is sampled no longer (%s): %s.", type(error).__name__, error)

    def _first_number(self, path: Path) -> int:
        """Returns the number after the last whole sample; what a crash left half written behind it is cut off."""
        n_samples = sum(1 for _ in read_records(path))
        if path.exists():
            truncate_after_epoch(path, n_samples)
        return n_samples

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = journal_path(self._folder).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def _sample(self) -> dict[str, float]:
        # psutil takes the percentage since the last call on the same object.
        living = psutil.Process().children(recursive=True)
        self._processes = {process: self._processes.get(process, process) for process in living}
        percent, memory = 0.0, 0
        for process in self._processes.values():
            with suppress(psutil.Error):
                percent += process.cpu_percent()
                memory += _memory_bytes(process)
        return {SYSTEM_CPU: percent, SYSTEM_MEMORY: float(memory), **gpu_sample(self._gpus())}

    def _gpus(self) -> list[str]:
        """Returns what nvidia-smi calls the fold's GPUs: index, or UUID where the fold's process was given one."""
        visible = None
        for process in self._processes:
            # A process that ends while it is asked tells nothing.
            with suppress(psutil.Error):
                visible = process.environ().get("CUDA_VISIBLE_DEVICES")
            if visible is not None:
                break
        gpus = map(str, range(self._n_gpus)) if visible is None else filter(None, visible.split(","))
        return [gpu.strip() for gpu in gpus][: self._n_gpus]


def gpu_sample(gpus: Sequence[str]) -> dict[str, float]:
    """Returns series to value of these GPUs; without them, without nvidia-smi or without its answer nothing."""
    if not gpus:
        return {}
    fields = ",".join(GPU_QUERIES)
    command = ["nvidia-smi", f"--id={','.join(gpus)}", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_gpus(answer)


def parse_gpus(answer: str) -> dict[str, float]:
    """Returns series to value of nvidia-smi's lines, one a GPU; what one of them does not know (`[N/A]`) is absent."""
    rows = [line.split(",") for line in answer.splitlines()]
    sample: dict[str, float] = {}
    if not rows:
        return sample
    for index, (series, combine) in enumerate(GPU_QUERIES.values()):
        with suppress(ValueError, IndexError):
            sample[series] = combine([float(row[index]) for row in rows])
    return sample


def _memory_bytes(process: psutil.Process) -> int:
    """Returns a process's proportional share where the system tells it (Linux), else all that it holds.

    Workers are forked from the trainer: their resident sizes would count its memory once for each of them.
    """
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))
