"""What a fold in a cluster's job costs where Dagster is: seconds added, memory of what waits, processor time.

    python benchmarks/engines.py                  # all on Slurm, some ten minutes on a quiet machine
    python benchmarks/engines.py --engine ray --queued 10 overhead waiting

A real Slurm, or Ray, of two nodes on this machine, a real daemon, MLflow and run workers; only the fold's own process
is one that trains nothing (`nnunet_assets_tests.engines.stub_fold`), so that what is measured is none of nnU-Net's.
Needs Debian's packages slurmctld, slurmd, slurm-client, munge and slurm-wlm-basic-plugins, or the extra `ray`. Nothing
is written but in a temporary folder, and nothing runs afterwards.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clusters import Cluster, lack_of, running
from weights import by_kind, cpu_seconds, family, of_drivers, own_seconds, weight

from nnunet_assets.assets.fold.fold_backfill import FoldBackfills
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.layout import Experiment, FoldPlace
from nnunet_assets.core.fold.commit import COMMIT_FILE, read_committed
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import SILENT
from nnunet_assets.declarations.project import read_project
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.job_files import STARTED_FILE, Started, read_from_job, read_record
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.named import queue_named
from nnunet_assets.jobs import experiment_job_names
from nnunet_assets.nnunet.folds import fold_child
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import project_settings
from nnunet_assets_tests.dagster_dev import free_port
from nnunet_assets_tests.engines import stub_fold
from nnunet_assets_tests.prepared_builders import DATASET, dataset_of, write_prepared
from nnunet_assets_tests.served_project import ServedProject
from nnunet_assets_tests.tiny_request import with_modules_of

PARTS = ("overhead", "waiting", "training")
OVERHEAD_SECONDS = {"slurm": 15.0, "ray": 20.0}
WAITING_MB, TRAINING_PERCENT = 150.0, 1.0
"""The goals."""

WATCHED_SECONDS = 60.0
EPOCH_SECONDS = 10.0
"""Of the stub while its supervisor is watched: a fifth or less of nnU-Net's, so that a supervisor has more to do."""

STUB = "import nnunet_assets.nnunet.folds.fold_child as f\n\nf.FOLD_MODULE = 'nnunet_assets_tests.engines.stub_fold'\n"
"""In a project's own Python, which a run's process loads."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], help="what to measure; all by default")
    parser.add_argument("--engine", choices=["slurm", "ray"], default="slurm", help="the cluster (slurm)")
    parser.add_argument("--queued", type=int, default=50, help="folds that wait at once (50)")
    parser.add_argument("--repeats", type=int, default=5, help="folds of the overhead (5)")
    asked = parser.parse_args()
    if reason := lack_of(asked.engine):
        print(reason)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="engines-", ignore_cleanup_errors=True) as place,
        running(asked.engine) as cluster,
    ):
        os.environ.update({**cluster.variables, **with_modules_of(Path(place)), stub_fold.EPOCH_SECONDS: "0"})
        met = []
        if not asked.parts or "overhead" in asked.parts:
            met.append(overhead(Path(place) / "overhead", cluster, asked.repeats))
        if not asked.parts or "waiting" in asked.parts:
            met.append(waiting(Path(place) / "waiting", cluster, asked.queued))
        if not asked.parts or "training" in asked.parts:
            met.append(training(Path(place) / "training", cluster))
    return 0 if all(met) else 1


def said(what: str, value: float, unit: str, goal: float) -> bool:
    """Prints a figure beside its goal, and tells whether it meets it."""
    print(f"{what}: {value:.1f} {unit} (goal under {goal:g}: {'met' if value < goal else 'MISSED'})", flush=True)
    return value < goal


# --- seconds added to a fold --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """Seconds since a fold was asked for.

    Attributes:
        started: When its job ran; as when it was asked for, where there is none.
        first_epoch: When its first epoch was in the journal.
        committed: When its COMMIT was there.
        ended: When who asked for it had it.
    """

    started: float
    first_epoch: float
    committed: float
    ended: float


def overhead(folder: Path, cluster: Cluster, repeats: int) -> bool:
    """Compares the same fold here and in a job, on an empty cluster."""
    fold_child.FOLD_MODULE = stub_fold.MODULE
    os.environ[stub_fold.EPOCH_SECONDS] = "1"
    engines: dict[str, Engine] = {
        "here": LOCAL,
        "job": JobEngine(queue_named(cluster.engine, os.environ), cluster.resources),
    }
    times: dict[str, list[Times]] = {name: [] for name in engines}
    for number in range(repeats):
        for name, engine in engines.items():
            times[name].append(timed_fold(folder / f"{name}{number}", engine))
    here, job = times["here"], times["job"]
    queued = median(one.started for one in job)
    before = median(one.first_epoch for one in job) - median(one.first_epoch for one in here)
    after = median(one.ended - one.committed for one in job) - median(one.ended - one.committed for one in here)
    print(
        f"overhead: the first epoch {before:.1f} s later than here ({queued:.1f} s until the job runs), "
        f"the end {after:.1f} s later after COMMIT; {repeats} folds each"
    )
    return said("overhead: added to a fold, queue included", before + after, "s", OVERHEAD_SECONDS[cluster.engine])


def timed_fold(folder: Path, engine: Engine) -> Times:
    """Brings a fold of three stub epochs to its COMMIT."""
    roots, _ = write_prepared(folder)
    experiment = Experiment(DATASET, "3d_fullres", variant="bench")
    inputs = fold_inputs(dataset_of(roots, experiment), experiment, "fold_0", "settings")
    request = FoldRequest(experiment, "fold_0", {"num_epochs": 3}, "cpu", inputs, None)
    place = experiment.place_of(roots, "fold_0")
    began = time.time()
    run_fold(request, roots, environment=os.environ, engine=engine, progress=SILENT)
    ended = time.time()
    record = read_record(place.folder)
    started = read_from_job(Started, place.own / "jobs" / record.job / STARTED_FILE) if record else None
    epochs = [one.time_ms / 1000 for one in read_records(journal_path(place.folder)) if one.kind == "epoch"]
    committed = (place.own / COMMIT_FILE).stat().st_mtime
    return Times(started.at - began if started else 0.0, epochs[0] - began, committed - began, ended - began)


# --- folds that wait, and folds that train ------------------------------------------------------------------------


def waiting(folder: Path, cluster: Cluster, n_folds: int) -> bool:
    """Lets so many folds wait in the cluster's queue, each supervised by a run's process, and weighs these."""
    with cluster.without_nodes(), served(folder, cluster, n_folds, stub=False) as project:
        began = time.monotonic()
        begin(project, n_folds)
        places = fold_places(project)
        wait_for(lambda: cluster.n_waiting(places) >= n_folds, f"{n_folds} jobs that wait", 1800)
        print(f"waiting: {n_folds} folds are in the queue after {time.monotonic() - began:.0f} s", flush=True)
        time.sleep(20)
        found, drivers = workers(project), of_drivers(project.folder)
        before, of_all = {one.pid: cpu_seconds(one) for one in found}, sum(own_seconds(one) for one in drivers)
        # Of the drivers, and of the process that forks them, each run has its share.
        share = {name: value / len(found) for name, value in weight(*drivers).items()}
        weights = [{name: value + share[name] for name, value in weight(*family(one)).items()} for one in found]
        time.sleep(WATCHED_SECONDS)
        of_each = (sum(own_seconds(one) for one in drivers) - of_all) / len(found)
        percent = [(cpu_seconds(one) - before[one.pid] + of_each) / WATCHED_SECONDS * 100 for one in found]
        others = [f"{weight(one)['pss']:.0f}" for one in rest(project) if one not in drivers]
        sizes = {name: median(one[name] for one in weights) for name in weights[0]}
        print(
            f"waiting: {len(found)} run workers, each {sizes['pss']:.0f} MiB of its own and its share (PSS), "
            f"{sizes['uss']:.0f} MiB its own (USS), {sizes['rss']:.0f} MiB resident, "
            f"{sizes['processes']:.0f} processes, {sizes['threads']:.0f} threads, {sizes['files']:.0f} open files, "
            f"{median(percent):.2f} % of a core; "
            f"all of them {sum(one['pss'] for one in weights) / 1024:.1f} GiB; "
            f"daemon and servers in MiB: {', '.join(others)}"
        )
        for name, sizes_of_kind in sorted(
            by_kind([*drivers, *(one for worker in found for one in family(worker))]).items()
        ):
            print(f"waiting: {name}: {len(sizes_of_kind)} processes, each {median(sizes_of_kind):.0f} MiB (PSS)")
        assert cluster.engine != "ray" or len(drivers) > len(found)
        return said("waiting: memory of what waits for a fold", sizes["pss"] * 1024**2 / 1e6, "MB", WAITING_MB)


def training(folder: Path, cluster: Cluster) -> bool:
    """Watches the processes that supervise four folds which train."""
    os.environ[stub_fold.EPOCH_SECONDS] = str(EPOCH_SECONDS)
    with served(folder, cluster, 4, stub=True) as project:
        begin(project, 4)
        places = fold_places(project)[:4]
        wait_for(lambda: all(n_epochs(place) >= 2 for place in places), "four folds that train", 600)
        found, drivers = workers(project), of_drivers(project.folder)
        before, of_all = {one.pid: cpu_seconds(one) for one in found}, sum(own_seconds(one) for one in drivers)
        time.sleep(WATCHED_SECONDS)
        of_each = (sum(own_seconds(one) for one in drivers) - of_all) / len(found)
        percent = [(cpu_seconds(one) - before[one.pid] + of_each) / WATCHED_SECONDS * 100 for one in found]
        sizes = [weight(*family(one))["pss"] + weight(*drivers)["pss"] / len(found) for one in found]
        assert not any(read_committed(place.folder) for place in places)
        print(
            f"training: {len(found)} supervisors, an epoch in {EPOCH_SECONDS:.0f} s, each sent to MLflow; "
            f"{median(sizes):.0f} MiB each (PSS); processor time {', '.join(f'{one:.2f}' for one in percent)} %"
        )
        return said("training: processor time of a supervisor", median(percent), "% of a core", TRAINING_PERCENT)


@contextmanager
def served(folder: Path, cluster: Cluster, n_folds: int, *, stub: bool) -> Iterator[ServedProject]:
    """Yields a project that is up, whose folds train in jobs; nothing of it runs afterwards."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    project = init_project(folder)
    for path in (project / "experiments").rglob("*.yaml"):
        path.unlink()
    known: dict[str, Any] = {"dataset": DATASET, "configuration": "3d_fullres", "device": "cpu"}
    variants = [{**known, "variant": {"name": f"v{n}", "num_epochs": 30}} for n in range((n_folds + 1) // 2)]
    parts = [("NnunetDataset", {"dataset": DATASET, "folds": 2})]
    parts += [("CrossValidationExperiment", variant) for variant in variants]
    documents = [json.dumps({"type": f"nnunet_assets.components.{kind}", "attributes": given}) for kind, given in parts]
    (project / "experiments" / "example" / "defs.yaml").write_text("\n---\n".join(documents))
    if stub:
        (project / "experiments" / "stub").mkdir()
        (project / "experiments" / "stub" / "stub.py").write_text(STUB)
    asked = f"gpus: 1\ncpus: 2\nmemory_gb: 0.5\nfolds_at_once: {n_folds}\n"
    (project / "engine.yaml").write_text(f"kind: {cluster.engine}\n{cluster.declared}{asked}")
    roots, _ = write_prepared(project / "data")
    with (project / ".env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in roots.environment().items())
    up = ServedProject(project, free_port(), free_port())
    up.up()
    try:
        yield up
    finally:
        started = processes(up)
        up.down()
        # Code servers stay for as long as a run that they started goes on.
        for process in started:
            with suppress(psutil.Error):
                process.kill()


def begin(project: ServedProject, n_folds: int) -> None:
    """Asks the daemon for so many folds, by a backfill for each experiment."""
    declared = read_project(project.folder)
    ensure_instance(project.folder)
    with open_instance(project.folder) as instance:
        for number, config in enumerate(declared.experiments):
            folds = ["fold_0", "fold_1"][: n_folds - 2 * number]
            FoldBackfills(instance, config.identity, experiment_job_names(config)[0]).begin(folds, before=[])


def fold_places(project: ServedProject) -> list[FoldPlace]:
    roots = project_settings(project.folder).roots
    experiments = [config.identity for config in read_project(project.folder).experiments]
    return [one.place_of(roots, fold) for one in experiments for fold in ("fold_0", "fold_1")]


def n_epochs(place: FoldPlace) -> int:
    return sum(record.kind == "epoch" for record in read_records(journal_path(place.folder)))


def workers(project: ServedProject) -> list[psutil.Process]:
    """Returns the processes of the project's runs, by what they wrote beside the folds that they hold."""
    owners = [readable_json(place.lock.with_suffix(".owner.json")) for place in fold_places(project)]
    return [one for one in processes(project) if one.pid in [owner.get("process") for owner in owners]]


def rest(project: ServedProject) -> list[psutil.Process]:
    """Returns the daemon, the servers, and what they started beside the runs."""
    of_runs = [one for worker in workers(project) for one in family(worker)]
    return [one for one in processes(project) if one not in of_runs and weight(one)["pss"] > 50]


def processes(project: ServedProject) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DAGSTER_HOME") == str(project.folder / ".dagster"):
                found.append(process)
    return found


def wait_for(what: Callable[[], bool], words: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"no {words} within {seconds:.0f} s"
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
