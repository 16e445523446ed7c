"""What a fold costs here, against plain `nnUNetv2_train` on the same data, with the same trainer, in one run.

    python benchmarks/fold_against_nnunet.py [--quick] [--repeats N] [short] [long] [five] [five_long]

Plain nnU-Net runs as it is installed, and with the worker settings that are best on a small machine, found by hand.
`short` and `long` train one fold for 2 and for 20 epochs of 10 iterations, `five` and `five_long` train five such folds
by a backfill. Without a part, all but the last: about an hour on two cores.

Prints ratios of this package to plain nnU-Net, where they have one with their goal: geometric means over the repeats,
with a 95 % interval (Student's t, of the logarithms). A repeat runs every side once, in random order, so that a busy
machine slows all of them. Nothing is written but in a temporary folder. Exit code 1: a goal was missed.
"""

import json
import math
import random
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from micro_project import (
    DATASET,
    EPOCHS,
    FOLDS,
    Bench,
    arguments_of,
    dagster,
    exit_code,
    experiment_of,
    program,
)
from paired_costs import Cost, fastest, interleaved, mean_and_range, measured, reap, said, show

from nnunet_assets.core.files.layout import OWN_FOLDER, Roots
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.project_folder.instance_state import set_pool_limit

REPEATS = 7
FIVE = {"five": 2, "five_long": 20}
"""Part to epochs a fold."""
PARTS = [*EPOCHS, *FIVE]
USUAL = [*EPOCHS, "five"]

HERE, BY_DAGSTER = "here", "here, by `dagster asset materialize`"
DEFAULT = "nnUNetv2_train as installed"
PLAIN: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    "nnUNetv2_train, 1 worker": {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"},
    "nnUNetv2_train, no augmentation worker": {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0"},
}
"""What each side sets; everything else is as nnU-Net has it."""

BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on PythonError { message } } }"""
DAEMON_INTERVAL = 30
"""Seconds between two looks of Dagster's daemon at its backfills; nothing configures it."""
RUNS = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {
    ... on Runs { results { runId } } } }"""


def main() -> int:
    """Runs the parts that were asked for and returns the exit code."""
    parts, n_repeats = arguments_of(__doc__ or "", REPEATS, PARTS, USUAL)
    return exit_code(n_repeats, lambda bench: [met for part in parts for met in measure_part(bench, part, n_repeats)])


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
    show(costs)
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
    return [
        program("nnUNetv2_train"),
        DATASET,
        "3d_fullres",
        fold,
        "-tr",
        experiment_of(n_epochs).trainer,
        "-device",
        "cpu",
    ]


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
    bench.run(program("nnunet-assets"), "up", bench.project, "--port", str(port), "--mlflow-port", str(mlflow_port))
    try:
        url = f"http://127.0.0.1:{port}"
        loaded = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        wait_for(lambda: query(url, loaded)["repositoriesOrError"].get("nodes"))
        yield url
    finally:
        bench.run(program("nnunet-assets"), "down", bench.project)
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


def best_by_hand(costs: Mapping[str, list[Cost]]) -> str:
    """Returns the fastest side other than the default."""
    return fastest(costs, [side for side in costs if side in PLAIN and side != DEFAULT])


if __name__ == "__main__":
    sys.exit(main())
