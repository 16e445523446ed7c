"""What the graph costs Dagster: loading the definitions, the start of a run, and ticks of two sensors.

    python benchmarks/load_and_tick.py

Prints ratios, each with its goal: medians of measurements that alternate between the two sides in one run, so that a
busy machine slows both. Nothing is trained, and nothing is written but in a temporary folder. Exit code 1: a goal was
missed.
"""

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.utils import make_new_run_id

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.graph import comparison_keys, summary_keys
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.sensors import build_refresh_sensor, build_retry_sensor

ROUNDS = 9
TICKS = 25

DG_TOML = """
directory_type = "project"
[project]
root_module = "{name}"
defs_module = "{name}"
code_location_name = "{name}"
"""

# What every process of Dagster does first: import the location's module and build its repository.
LOAD_OURS = """
from pathlib import Path
from nnunet_assets.definitions import load_definitions
load_definitions(Path.cwd()).get_repository_def().load_all_definitions()
"""
LOAD_EMPTY = """
from pathlib import Path
import sys
sys.path.insert(0, str(Path.cwd()))
import dagster as dg
dg.load_from_defs_folder(path_within_project=Path.cwd()).get_repository_def().load_all_definitions()
"""

# What the process of a run does first, in processor seconds: find the job, and then what is selected of it.
RUN = """
import time
from pathlib import Path
import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from nnunet_assets import definitions
definitions.everything = lambda: definitions.load_definitions(Path.cwd())
repository = ReconstructableRepository.for_module("nnunet_assets.definitions", "{loaded}")
job = repository.get_reconstructable_job("__ASSET_JOB")
job.get_definition()
fold = dg.AssetKey(["Dataset001_Bench", "v0", "nnUNetTrainer__nnUNetPlans__2d", "fold_model"])
job.get_subset(asset_selection={{fold}}).get_definition()
print(time.process_time())
"""
RUN_OURS = RUN.format(loaded="defs")
RUN_WHOLE = RUN.format(loaded="everything")

DATASET = """
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: Dataset{number:03}_Bench}}
"""
EXPERIMENT = """---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: Dataset{dataset:03}_Bench, configuration: 2d, variant: {{name: v{number}, num_epochs: 5}}}}
"""


def main() -> int:
    """Runs every measurement and returns the exit code."""
    # In memory where that is possible: on a disk, writing the 10,000 events takes minutes, and reading them no longer.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        root = Path(folder)
        results = [*load_ratios(root), *run_ratios(root), tick_ratio(root), retry_tick_ratio(root)]
    return 0 if all(results) else 1


def load_ratios(folder: Path) -> list[bool]:
    """Compares an empty project, one experiment and fifty, each loaded in a process of its own."""
    empty = folder / "empty_project"
    (empty / "empty_project").mkdir(parents=True)
    (empty / "empty_project" / "__init__.py").touch()
    (empty / "dg.toml").write_text(DG_TOML.format(name="empty_project"))
    one, fifty = (write_project(folder / f"project_{n}", n) for n in (1, 50))
    seconds = alternating(
        ROUNDS,
        empty=lambda: load(empty, LOAD_EMPTY),
        one=lambda: load(one, LOAD_OURS),
        fifty=lambda: load(fifty, LOAD_OURS),
    )
    return [
        said("load: 1 experiment / an empty Dagster project", seconds["one"], seconds["empty"], goal=1.5),
        said("load: 50 experiments / 1", seconds["fifty"], seconds["one"], goal=2),
    ]


def run_ratios(folder: Path) -> list[bool]:
    """Compares what a run of one fold costs before it begins, in projects of 1, 100 and 1,000 experiments.

    Once with the definitions that a run needs, and once with all of them, as every process loads them that asks for
    more.
    """
    projects = {n: write_project(folder / f"run_project_{n}", n) for n in (1, 100, 1000)}
    ours = {n: [run_seconds(project, RUN_OURS) for _ in range(ROUNDS)] for n, project in projects.items()}
    whole = {n: [run_seconds(project, RUN_WHOLE)] for n, project in projects.items()}
    return [
        *(
            said(f"start of a run: its definitions / all, of {n} experiments", ours[n], whole[n], goal=goal)
            for n, goal in ((1, 1.1), (100, 0.9), (1000, 0.3))
        ),
        *(
            said(f"start of a run: {n} experiments / 1", ours[n], ours[1], goal=goal)
            for n, goal in ((100, 1.2), (1000, 2))
        ),
    ]


def run_seconds(project: Path, code: str) -> float:
    """Returns the processor seconds of a process that finds the job of a run."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, check=True, timeout=600, capture_output=True, text=True
    )
    return float(done.stdout)


def write_project(root: Path, n_experiments: int) -> Path:
    """Writes a project of five experiments a dataset, one file a dataset."""
    for dataset in range(1, (n_experiments - 1) // 5 + 2):
        file = root / "experiments" / f"dataset_{dataset}" / "defs.yaml"
        file.parent.mkdir(parents=True)
        numbers = range(5 * (dataset - 1), min(5 * dataset, n_experiments))
        experiments = (EXPERIMENT.format(dataset=dataset, number=number) for number in numbers)
        file.write_text(DATASET.format(number=dataset) + "".join(experiments))
    (root / "dg.toml").write_text(DG_TOML.format(name="experiments"))
    return root


def load(project: Path, code: str) -> None:
    """Loads a project's definitions in a new process."""
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, timeout=120)


def tick_ratio(folder: Path) -> bool:
    """Compares ticks after 10 and after 10,000 materialized folds, of 10 experiments, every one due for a refresh."""
    experiments = [Experiment("Dataset001_Bench", "3d_fullres", variant=f"v{number}") for number in range(10)]
    made = {key for one in experiments for key in (*summary_keys(one), *comparison_keys(one.dataset))}
    keys = {*made, *map(fold_model_key, experiments)}
    sensor = build_refresh_sensor(experiments)
    definitions = dg.Definitions(assets=[materializable(dg.AssetSpec(key)) for key in keys], sensors=[sensor])
    with ExitStack() as stack:
        young, old = (
            stack.enter_context(history(folder / f"instance_{n}", experiments, n_events=n)) for n in (10, 10_000)
        )

        def tick(instance: dg.DagsterInstance) -> None:
            context = dg.build_sensor_context(instance, definitions=definitions)
            assert len(sensor.evaluate_tick(context).run_requests or []) == len(experiments)

        seconds = alternating(TICKS, young=lambda: tick(young), old=lambda: tick(old))
    return said("tick: 10,000 earlier materializations / 10", seconds["old"], seconds["young"], goal=2)


def retry_tick_ratio(folder: Path) -> bool:
    """Compares ticks of the sensor for killed folds after 10 and after 2,000 runs, a tenth of which were killed."""
    jobs = {f"train_{n}": fold_model_key(Experiment("Dataset001_Bench", "2d", variant=f"v{n}")) for n in range(10)}
    definitions = dg.Definitions(assets=[materializable(dg.AssetSpec(key)) for key in jobs.values()])
    sensor = build_retry_sensor(jobs)
    cursors: dict[int, str | None] = {}
    with ExitStack() as stack:
        young, old = (stack.enter_context(runs(folder / f"runs_{n}", list(jobs), n_runs=n)) for n in (10, 2000))

        def tick(instance: dg.DagsterInstance) -> None:
            context = dg.build_sensor_context(instance, cursor=cursors.get(id(instance), "1"), definitions=definitions)
            cursors[id(instance)] = sensor.evaluate_tick(context).cursor

        seconds = alternating(TICKS, young=lambda: tick(young), old=lambda: tick(old))
    return said("tick: 2,000 earlier runs, 200 of them killed / 10", seconds["old"], seconds["young"], goal=2)


def runs(folder: Path, jobs: list[str], *, n_runs: int) -> dg.DagsterInstance:
    """Returns an instance in files with so many runs of folds, each killed one followed by the one in its place.

    All ended two hours ago, in backfills that were over then.
    """
    folder.mkdir()
    (folder / "dagster.yaml").write_text("run_retries:\n  enabled: true\n")
    instance = dg.DagsterInstance.from_config(str(folder))
    then = time.time() - 7200
    instance.add_backfill(PartitionBackfill("over", BulkActionStatus.COMPLETED, False, {}, then, partition_names=[]))
    for number in range(n_runs):
        is_killed = number % 10 == 8
        tags = {"dagster/partition": f"fold_{number // 20 % 5}", "dagster/backfill": "over"}
        status = dg.DagsterRunStatus.FAILURE if is_killed else dg.DagsterRunStatus.SUCCESS
        retry = {"dagster/will_retry": "true"} if is_killed else {}
        run = dg.DagsterRun(jobs[number // 100 % 10], run_id=make_new_run_id(), status=status, tags={**tags, **retry})
        instance.add_run(run)
    with closing(sqlite3.connect(folder / "history" / "runs.db")) as database, database:
        ended = datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S")
        database.execute("update runs set create_timestamp = ?, update_timestamp = ?", (ended, ended))
    return instance


def materializable(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """Returns an asset that a run could make."""

    @dg.multi_asset(specs=[spec], name="__".join(spec.key.path))
    def make() -> None: ...

    return make


def history(folder: Path, experiments: list[Experiment], *, n_events: int) -> dg.DagsterInstance:
    """Returns an instance in files, as a project's is, in which folds were materialized so many times."""
    folder.mkdir()
    instance = dg.DagsterInstance.local_temp(str(folder))
    for number in range(n_events):
        key = fold_model_key(experiments[number % len(experiments)])
        partition = f"fold_{number // len(experiments) % 5}"
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))
    return instance


def alternating(n_rounds: int, **works: Callable[[], None]) -> dict[str, list[float]]:
    """Returns the seconds of each work, done in turn so many times after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(n_rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return {name: values[1:] for name, values in seconds.items()}


def said(what: str, above: list[float], below: list[float], *, goal: float) -> bool:
    """Prints a ratio of medians with what it is made of, and tells whether it meets its goal."""
    ratio = median(above) / median(below)
    details = ", ".join(f"{median(side):.3f} s ({min(side):.3f} to {max(side):.3f})" for side in (above, below))
    verdict = "met" if ratio <= goal else "MISSED"
    print(f"{what}: {ratio:.2f} (goal at most {goal:g}: {verdict}; {details})", flush=True)
    return ratio <= goal


if __name__ == "__main__":
    sys.exit(main())
