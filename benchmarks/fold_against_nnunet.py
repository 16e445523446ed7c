"""What a fold costs here, against plain `nnUNetv2_train` on the same data, with the same trainer, in one run.

    python benchmarks/fold_against_nnunet.py [--quick] [--repeats N] [short] [long] [five] [five_long]

Plain nnU-Net runs as it is installed, and with the worker settings that are best on a small machine, found by hand.
`short` and `long` train one fold for 2 and for 20 epochs of 10 iterations, `five` and `five_long` train five such folds
by a backfill. Without a part, all but the last: about an hour on two cores.

Prints ratios of this package to plain nnU-Net, where they have one with their goal: geometric means over the repeats,
with a 95 % interval (Student's t, of the logarithms). A repeat runs every side once, in random order, so that a busy
machine slows all of them. Nothing is written but in a temporary folder. Exit code 1: a goal was missed.
"""

import argparse
import ctypes
import json
import math
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import psutil

from nnunet_assets.cli.project.init import EXAMPLE, init_project
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots, fold_key
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.images.nifti import write_nifti
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.project_folder.dagster_home import set_pool_limit
from nnunet_assets.settings import PROJECT_VARIABLE, Settings

REPEATS = 7
EPOCHS = {"short": 2, "long": 20}
FIVE = {"five": 2, "five_long": 20}
"""Part to epochs a fold."""
PARTS = [*EPOCHS, *FIVE]
USUAL = [*EPOCHS, "five"]
DATASET = "Dataset960_Micro"
N_CASES = 10
SHAPE = (16, 18, 20)
FOLDS = [fold_key(index) for index in range(5)]

HERE, BY_DAGSTER = "here", "here, by `dagster asset materialize`"
DEFAULT = "nnUNetv2_train as installed"
PLAIN: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    "nnUNetv2_train, 1 worker": {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"},
    "nnUNetv2_train, no augmentation worker": {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0"},
}
"""What each side sets; everything else is as nnU-Net has it."""

# In a folder of its own, since nnU-Net imports every file of it, and with the base's exact signature, by which the base
# copies its arguments.
TRAINER = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
""" + "".join(
    f"""
class nnUNetTrainerMicro{n}(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device('cuda')):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = {n}, 10, 2
"""
    for n in EPOCHS.values()
)
DECLARATIONS = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}}}
""" + "".join(
    f"""---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: 3d_fullres, trainer: nnUNetTrainerMicro{n}, device: cpu}}
"""
    for n in EPOCHS.values()
)

BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on PythonError { message } } }"""
DAEMON_INTERVAL = 30
"""Seconds between two looks of Dagster's daemon at its backfills; nothing configures it."""
RUNS = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {
    ... on Runs { results { runId } } } }"""


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes:
        wall_seconds: From its start to its end.
        cpu_seconds: User and system time of every process that it started.
        memory_bytes: The peak of these processes together, shared pages counted once; looked at 4 times a second.
    """

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: float


@dataclass(frozen=True)
class Bench:
    """A prepared dataset in a project, and the environment in which every side runs."""

    settings: Settings
    environment: Mapping[str, str]

    @property
    def project(self) -> Path:
        return self.settings.project

    @property
    def log(self) -> Path:
        return self.project / "bench.log"

    def run(self, *command: str | Path, **variables: str) -> None:
        """Runs a command in the project's folder, as a user would."""
        environment = {**self.environment, **variables}
        with self.log.open("ab") as log:
            subprocess.run(
                command,
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=1800,
            )


def main() -> int:
    """Runs the parts that were asked for and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; without one: {', '.join(USUAL)}")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of every side; {REPEATS} unless told")
    parser.add_argument("--quick", action="store_true", help="one repeat, without intervals")
    arguments = parser.parse_args()
    parts: list[str] = arguments.parts or USUAL
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    n_repeats: int = 1 if arguments.quick else arguments.repeats
    become_subreaper()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; repeats: {n_repeats}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = prepared_bench(Path(folder))
        try:
            results = [met for part in parts for met in measure_part(bench, part, n_repeats)]
        except subprocess.CalledProcessError:
            print(bench.log.read_text(errors="replace")[-5000:], file=sys.stderr)
            raise
    return 0 if all(results) else 1


def measure_part(bench: Bench, part: str, n_repeats: int) -> list[bool]:
    """Prints the ratios of one part and tells of each that has a goal whether it is met."""
    if part in FIVE:
        return five_folds(bench, FIVE[part], n_repeats)
    return one_fold(bench, part, n_repeats)


# --- one fold ---------------------------------------------------------------------------------------------------------


def one_fold(bench: Bench, part: str, n_repeats: int) -> list[bool]:
    """Compares fold 0 here, with and without Dagster, with plain nnU-Net."""
    n_epochs = EPOCHS[part]
    startups: list[float] = []
    sides: dict[str, Callable[[], None]] = {
        HERE: lambda: train_here(bench, n_epochs),
        BY_DAGSTER: lambda: startups.append(materialize(bench, n_epochs)),
        **{side: lambda side=side: train_plain(bench, n_epochs, side) for side in PLAIN},
    }
    costs = interleaved(n_repeats, {side: lambda work=work: measured(work) for side, work in sides.items()})
    best = best_by_hand(costs)
    print(f"\nOne fold of {n_epochs} epochs; tuned by hand, the fastest is: {best}", flush=True)
    for side, measurements in costs.items():
        wall, cpu = (fmean(getattr(cost, name) for cost in measurements) for name in ("wall_seconds", "cpu_seconds"))
        memory = fmean(cost.memory_bytes for cost in measurements) / 2**20
        print(f"  {side}: {wall:.1f} s, {cpu:.1f} s of processors, {memory:.0f} MiB", flush=True)
    # The fold by Dagster, without Dagster, is `here` once more.
    print(f"  Dagster's own part of `dagster asset materialize`: {mean_and_range(startups[-n_repeats:])}", flush=True)
    is_short = part == "short"
    return [
        said("wall time, here / as installed", costs, HERE, DEFAULT, goal=0.30 if is_short else None),
        said(
            "wall time, here / tuned by hand", costs, HERE, best, goal=0.85 if is_short else 1.02, by_upper=not is_short
        ),
        said("wall time, here with Dagster's start / as installed", costs, BY_DAGSTER, DEFAULT),
        said("wall time, here with Dagster's start / tuned by hand", costs, BY_DAGSTER, best),
        said("processor time, here / as installed", costs, HERE, DEFAULT, of="cpu_seconds"),
        said("processor time, here / tuned by hand", costs, HERE, best, of="cpu_seconds"),
        said("peak memory, here / as installed", costs, HERE, DEFAULT, of="memory_bytes"),
        said("peak memory, here / tuned by hand", costs, HERE, best, of="memory_bytes"),
    ]


def train_here(bench: Bench, n_epochs: int) -> None:
    """Trains fold 0 in the process that the asset would start, without Dagster and without tracking."""
    roots, experiment = fresh_roots(bench), experiment_of(n_epochs)
    dataset = PreparedDataset.read(PreparedFolder(roots, experiment.dataset), experiment.plans)
    inputs = fold_inputs(dataset, experiment, FOLDS[0], "as the trainer has it")
    request = FoldRequest(experiment, FOLDS[0], {}, "cpu", inputs, dagster_run_id=None)
    run_fold(request, roots, environment=bench.environment)


def train_plain(bench: Bench, n_epochs: int, side: str) -> None:
    """Trains fold 0 with nnU-Net's own command."""
    variables = {**fresh_roots(bench).environment(), **PLAIN[side]}
    bench.run(*plain_command(n_epochs, "0"), **variables)


def plain_command(n_epochs: int, fold: str) -> list[str]:
    program = str(Path(sys.executable).with_name("nnUNetv2_train"))
    return [program, DATASET, "3d_fullres", fold, "-tr", experiment_of(n_epochs).trainer, "-device", "cpu"]


def materialize(bench: Bench, n_epochs: int) -> float:
    """Trains fold 0 from a terminal and returns the seconds that the fold's own process did not take."""
    folder = forget_folds(bench, n_epochs) / FOLDS[0]
    key = "/".join((*experiment_of(n_epochs).key_prefix, "fold_model"))
    began = time.perf_counter()
    dagster(bench, "asset", "materialize", "--select", key, "--partition", FOLDS[0])
    whole = time.perf_counter() - began
    # The one is written just before the process starts, the other just before it ends.
    own = folder / OWN_FOLDER
    return whole - ((own / "COMMIT").stat().st_mtime - (own / "request.json").stat().st_mtime)


# --- five folds -------------------------------------------------------------------------------------------------------


def five_folds(bench: Bench, n_epochs: int, n_repeats: int) -> list[bool]:
    """Compares a backfill of five folds, at the pool's limits 1 and 2, with a shell loop of plain nnU-Net."""
    by_hand = [side for side in PLAIN if side != DEFAULT]
    trial = interleaved(
        1, {side: lambda side=side: measured(lambda: train_plain(bench, n_epochs, side)) for side in by_hand}
    )
    best = best_by_hand(trial)
    at_once = {f"backfill, {n} at once": n for n in (1, 2)}
    waits: dict[str, list[float]] = {side: [] for side in at_once}

    def backfilled(side: str) -> Cost:
        wait, cost = backfill(bench, n_epochs, at_once[side])
        waits[side].append(wait)
        return cost

    costs = interleaved(
        n_repeats,
        {
            "loop": lambda: measured(lambda: loop(bench, n_epochs, best)),
            **{side: lambda side=side: backfilled(side) for side in at_once},
        },
    )
    for side, seconds in waits.items():
        waited = zip(costs[side], seconds[-n_repeats:], strict=True)
        costs[f"{side}, with the wait"] = [Cost(c.wall_seconds + wait, math.nan, math.nan) for c, wait in waited]
    print(f"\nFive folds of {n_epochs} epochs; the loop runs: {best}", flush=True)
    for side, measurements in costs.items():
        print(f"  {side}: {mean_and_range([cost.wall_seconds for cost in measurements])}", flush=True)
    print(f"  The wait: until Dagster's daemon, which looks every {DAEMON_INTERVAL} s, begins the backfill", flush=True)
    return [
        said(
            f"wall time, {side} / a loop tuned by hand", costs, side, "loop", goal=0.75 if "2 at once" in side else None
        )
        for side in costs
        if side != "loop"
    ]


def loop(bench: Bench, n_epochs: int, side: str) -> None:
    """Trains five folds one after the other, as a shell does it."""
    command = " ".join(plain_command(n_epochs, "$fold"))
    script = f"for fold in 0 1 2 3 4; do {command} || exit 1; done"
    bench.run("bash", "-c", script, **{**fresh_roots(bench).environment(), **PLAIN[side]})


def backfill(bench: Bench, n_epochs: int, at_once: int) -> tuple[float, Cost]:
    """Trains five folds on servers that run.

    Returns:
        Seconds from the request to the first run, which Dagster's daemon starts when it looks, and the time from there
        to the last COMMIT.
    """
    folder = forget_folds(bench, n_epochs)
    set_pool_limit(bench.project, at_once)
    with servers(bench) as url:
        path = [*experiment_of(n_epochs).key_prefix, "fold_model"]
        parameters = {"assetSelection": [{"path": path}], "allPartitions": True}
        # The daemon has just looked, which a user who asks does not know: anywhere in its interval.
        time.sleep(random.uniform(0, DAEMON_INTERVAL))
        requested = time.perf_counter()
        result = query(url, BACKFILL, p=parameters)["launchPartitionBackfill"]
        assert result["__typename"] == "LaunchBackfillSuccess", result
        wait_for(lambda: query(url, RUNS)["runsOrError"]["results"])
        began = time.perf_counter()
        wait_for(lambda: all((folder / fold / OWN_FOLDER / "COMMIT").exists() for fold in FOLDS))
        seconds = time.perf_counter() - began
        # What the sensor refreshes afterwards must not slow the next side.
        wait_for(lambda: is_summarized(folder) and not query(url, RUNS)["runsOrError"]["results"])
    return began - requested, Cost(seconds, math.nan, math.nan)


def is_summarized(folder: Path) -> bool:
    with suppress(FileNotFoundError, ValueError):
        return bool(json.loads((folder / "nnunet_assets" / "cv_summary.json").read_text())["is_complete"])
    return False


@contextmanager
def servers(bench: Bench) -> Iterator[str]:
    """Runs web server, daemon and MLflow, as a user's project has them, and yields the web server's address."""
    port, mlflow_port = free_port(), free_port()
    program = Path(sys.executable).with_name("nnunet-assets")
    bench.run(program, "up", bench.project, "--port", str(port), "--mlflow-port", str(mlflow_port))
    try:
        url = f"http://127.0.0.1:{port}"
        loaded = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        wait_for(lambda: query(url, loaded)["repositoriesOrError"].get("nodes"))
        yield url
    finally:
        bench.run(program, "down", bench.project)
        reap()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def query(url: str, text: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": text, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer["data"]


def wait_for(is_so: Callable[[], Any], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


# --- data -------------------------------------------------------------------------------------------------------------


def prepared_bench(folder: Path) -> Bench:
    """Returns a project with a small dataset, split, planned and preprocessed."""
    project = init_project(folder / "project")
    (project / EXAMPLE).write_text(DECLARATIONS)
    (folder / "trainers").mkdir()
    (folder / "trainers" / "nnUNetTrainerMicro.py").write_text(TRAINER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("nnUNet_", "MLFLOW_"))}
    settings = Settings.from_environment(project, kept)
    environment = {
        **kept,
        **settings.roots.environment(),
        "nnUNet_extTrainer": str(folder / "trainers"),
        "DAGSTER_HOME": str(settings.dagster_home),
        PROJECT_VARIABLE: str(project),
    }
    write_micro_dataset(settings.roots.raw / DATASET)
    bench = Bench(settings, environment)
    dagster(bench, "job", "execute", "-j", f"prepare__{DATASET}")
    return bench


def write_micro_dataset(folder: Path, shape: tuple[int, int, int] = SHAPE) -> None:
    """Writes 10 cases of so many voxels of 1 mm: a bright organ with a brighter lesion in noise."""
    import nibabel

    for subfolder in ("imagesTr", "labelsTr"):
        (folder / subfolder).mkdir(parents=True)
    for index in range(N_CASES):
        rng = np.random.default_rng(index)
        center = (np.array(shape) / 2 + rng.uniform(-1, 1, size=3))[:, None, None, None]
        distance = np.sqrt(((np.indices(shape) - center) ** 2).sum(axis=0))
        radius = min(shape) * 3 / 8
        label = ((distance < radius).astype(np.uint8) + (distance < radius / 2)).astype(np.uint8)
        image = (300.0 * label + rng.normal(100, 30, size=shape)).astype(np.float32)
        for place, voxels in (("imagesTr", image), ("labelsTr", label)):
            ending = "_0000.nii.gz" if place == "imagesTr" else ".nii.gz"
            write_nifti(folder / place / f"micro_{index:03d}{ending}", nibabel.Nifti1Image(voxels, np.eye(4)))
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": N_CASES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def experiment_of(n_epochs: int) -> Experiment:
    return Experiment(DATASET, "3d_fullres", trainer=f"nnUNetTrainerMicro{n_epochs}")


def fresh_roots(bench: Bench) -> Roots:
    """Returns the project's data with an empty results folder."""
    results = bench.project / "results_of_one_side"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    return Roots(bench.settings.roots.raw, bench.settings.roots.preprocessed, results)


def forget_folds(bench: Bench, n_epochs: int) -> Path:
    """Returns the project's own folder of the experiment, without the folds of an earlier repeat."""
    folder = experiment_of(n_epochs).model_folder(bench.settings.roots)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def dagster(bench: Bench, noun: str, verb: str, *arguments: str) -> None:
    bench.run(sys.executable, "-m", "dagster", noun, verb, "-m", "nnunet_assets.definitions", *arguments)


# --- measuring --------------------------------------------------------------------------------------------------------


def interleaved(n_repeats: int, sides: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Returns the costs of each side, each repeat in an order of its own.

    With more than one repeat, a first one does not count: it reads what later ones find in memory.
    """
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for repeat in range(n_repeats + (n_repeats > 1)):
        order = list(sides)
        random.Random(repeat).shuffle(order)
        for side in order:
            costs[side].append(sides[side]())
    return {side: measurements[-n_repeats:] for side, measurements in costs.items()}


def measured(work: Callable[[], None]) -> Cost:
    """Returns the cost of all processes that the work starts in this one."""
    before = children_seconds()
    with peak_memory() as peak:
        began = time.perf_counter()
        work()
        wall = time.perf_counter() - began
    reap()
    return Cost(wall, children_seconds() - before, max(peak))


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Appends the memory of all descendants of this process to the yielded list while the block runs."""
    seen, is_over = [1], threading.Event()

    def look() -> None:
        while not is_over.wait(0.25):
            total = 0
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
            seen.append(total)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def become_subreaper() -> None:
    """Makes orphans of a training children of this process, so that their processor time is counted too (Linux)."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def reap() -> None:
    """Waits for what a side left behind, some seconds at most."""
    deadline = time.monotonic() + 10
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(0.05)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- saying -----------------------------------------------------------------------------------------------------------


def best_by_hand(costs: Mapping[str, list[Cost]]) -> str:
    """Returns the side that a person would have settled on: the fastest, other than the default."""
    tuned = [side for side in costs if side in PLAIN and side != DEFAULT]
    return min(tuned, key=lambda side: fmean(cost.wall_seconds for cost in costs[side]))


def said(
    what: str,
    costs: Mapping[str, list[Cost]],
    above: str,
    below: str,
    *,
    of: str = "wall_seconds",
    goal: float | None = None,
    by_upper: bool = False,
) -> bool:
    """Prints a ratio with its interval, and tells whether it meets its goal.

    Args:
        by_upper: The upper end of the interval must meet the goal.
    """
    logs = [math.log(getattr(a, of) / getattr(b, of)) for a, b in zip(costs[above], costs[below], strict=True)]
    ratio, half = math.exp(fmean(logs)), half_interval(logs)
    text = f"{what}: {ratio:.2f}"
    upper = ratio
    if half is not None:
        upper = math.exp(fmean(logs) + half)
        text += f" (95 % interval {math.exp(fmean(logs) - half):.2f} to {upper:.2f})"
    if goal is None:
        print(text, flush=True)
        return True
    is_met = (upper if by_upper else ratio) <= goal
    end = "the upper end " if by_upper else ""
    print(f"{text}; goal: {end}at most {goal:g}: {'met' if is_met else 'MISSED'}", flush=True)
    return is_met


def half_interval(values: list[float]) -> float | None:
    """Returns half of the 95 % interval of the mean; None for a single value, of which nothing is known."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def mean_and_range(seconds: list[float]) -> str:
    return f"{fmean(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    sys.exit(main())
