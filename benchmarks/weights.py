"""What the processes of Dagster's runs weigh, and what they use of a processor."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

FORKER = "ray_cluster.forker"
KINDS = {"Ray's driver": FORKER, "the run's own": "spawn_main", "a copy of its output": "compute_logs"}
"""The processes of a run, by what stands in their command."""


def family(process: psutil.Process) -> list[psutil.Process]:
    """Returns a run's process and what it started: Dagster's four that copy its output, `squeue`."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return [process]


def weight(*processes: psutil.Process) -> Mapping[str, float]:
    """Returns sizes in MiB, and numbers of processes, threads and open files; nothing of a process that is gone."""
    found = dict.fromkeys(("pss", "uss", "rss", "processes", "threads", "files"), 0.0)
    for process in processes:
        with suppress(psutil.Error):
            memory = process.memory_full_info()
            sizes = {name: getattr(memory, name) / 1024**2 for name in ("pss", "uss", "rss")}
            counts = {"processes": 1, "threads": process.num_threads(), "files": process.num_fds()}
            found = {name: value + (sizes | counts)[name] for name, value in found.items()}
    return found


def cpu_seconds(process: psutil.Process) -> float:
    """Returns what a run's process and its family used, and what they started and waited for, such as `squeue`."""
    seconds = 0.0
    for one in family(process):
        with suppress(psutil.Error):
            times = one.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def own_seconds(process: psutil.Process) -> float:
    """Returns what a process itself used of a processor; nothing of one that is gone."""
    with suppress(psutil.Error):
        return sum(process.cpu_times()[:2])
    return 0.0


def by_kind(found: Iterable[psutil.Process]) -> dict[str, list[float]]:
    """Returns the sizes of processes by what they are, in MiB (PSS)."""
    kinds: dict[str, list[float]] = {}
    for one in found:
        with suppress(psutil.Error):
            command = " ".join(one.cmdline())
            kind = next((name for name in KINDS if KINDS[name] in command), "another")
            kinds.setdefault(kind, []).append(weight(one)["pss"])
    return kinds


def of_drivers(folder: Path) -> list[psutil.Process]:
    """Returns Ray's drivers of a project's folds, and what forks them: no children of the runs that they belong to."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if FORKER in " ".join(one.cmdline()) and any(
                file.path.startswith(f"{folder}/") for file in one.open_files()
            ):
                found.append(one)
    return [*found, *{parent for one in found if (parent := one.parent()) and FORKER in " ".join(parent.cmdline())}]
