"""What it costs to ask for results: `list` and `summarize` over thousands of runs, and `--help`.

    python benchmarks/queries.py

Prints figures, each with its goal; ratios are medians of measurements that alternate between the two sides, so that a
busy machine slows both. Stores are SQLite files in a temporary folder; nothing is trained. Exit code 1: a goal was
missed.
"""

import logging
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.tracking.reading.queries import MlflowRecord
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, connect_to_read, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination

ROUNDS = 9
MANY, FEW = 5000, 10
DATASET = "Dataset004_Bench"
EXPERIMENT = Experiment(DATASET, "3d_fullres")
FOLDS = [f"fold_{index}" for index in range(5)]
INPUTS = FoldInputs("raw", "plans", "splits", "training")
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
HELP_GOAL_SECONDS = 0.4

MAIN = "import sys; from nnunet_assets.cli.main import main; sys.argv = ['nnunet-assets', '--help']; main()"


def main() -> int:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        many, few = (filled_store(Path(folder, str(n)), n) for n in (MANY, FEW))
        begin = time.perf_counter()
        (groups,) = many.experiments().values()
        list_seconds = time.perf_counter() - begin
        counted = sum(sum(group.n_runs.values()) for group in groups)
        seconds = alternating(lambda: summary(many), lambda: summary(few))
    helped = alternating(lambda: python(MAIN), lambda: python("import click"))
    ok = [
        report("`list`: runs counted of those that there are", counted / MANY, "1", is_met=counted == MANY),
        report(
            f"`summarize` with {MANY} runs, times that with {FEW}",
            seconds[0] / seconds[1],
            "< 2",
            seconds[0] < 2 * seconds[1],
        ),
        report("`--help`, times the import of click", helped[0] / helped[1], "<= 2", helped[0] <= 2 * helped[1]),
        report("`--help`, seconds", helped[0], f"< {HELP_GOAL_SECONDS}", helped[0] < HELP_GOAL_SECONDS),
    ]
    print(f"`list` of {MANY} runs took {list_seconds:.1f} s, a summary {seconds[0]:.3f} s and {seconds[1]:.3f} s.")
    return 0 if all(ok) else 1


def report(what: str, value: float, goal: str, is_met: bool) -> bool:
    print(f"{what}: {value:.2f} (goal {goal}){'' if is_met else ', MISSED'}")
    return is_met


def summary(record: MlflowRecord) -> None:
    record.summary(DATASET, None, lambda _group: FOLDS)


def python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def alternating(left: Callable[[], None], right: Callable[[], None]) -> tuple[float, float]:
    """Returns the median seconds of both, measured in turn; the first round warms up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for work, found in zip((left, right), times, strict=True):
            begin = time.perf_counter()
            work()
            found.append(time.perf_counter() - begin)
    return median(times[0][1:]), median(times[1][1:])


def filled_store(folder: Path, n_runs: int) -> MlflowRecord:
    """Returns a store with so many finished runs of one experiment, each with 30 parameters and 20 metrics."""
    folder.mkdir()
    uri = f"sqlite:///{folder}/mlflow.db"
    client = connect(Destination(uri, folder / "artifacts"))
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, folder / "artifacts"))
    for fold in FOLDS:
        run_id = client.create_run(home, tags=names.fold_tags(EXPERIMENT, fold, INPUTS)).info.run_id
        for number in range(30):
            client.log_param(run_id, f"plans/{number}", number)
        for name in ("val_dice_mean", "val_iou_mean", *(f"val_dice/label {k}" for k in range(18))):
            client.log_metric(run_id, name, 0.8)
        client.set_terminated(run_id)
    # Through MLflow's own calls 5000 runs would take half an hour.
    with closing(sqlite3.connect(folder / "mlflow.db")) as store, store:
        for number in range(n_runs - len(FOLDS)):
            copy_run(store, FOLDS[number % len(FOLDS)])
    return MlflowRecord(connect_to_read(Destination(uri, folder / "artifacts")))


def copy_run(store: sqlite3.Connection, fold: str) -> None:
    """Adds a run like the first one of the fold, a little older."""
    found = store.execute("SELECT run_uuid FROM tags WHERE key = ? AND value = ?", (names.FOLD, fold)).fetchone()
    fresh = uuid.uuid4().hex
    for table in TABLES:
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
        values = {"run_uuid": "?", "start_time": "start_time - 1000"}
        wanted = ", ".join(values.get(column, column) for column in columns)
        store.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {wanted} FROM {table} WHERE run_uuid = ?",
            (fresh, found[0]),
        )


if __name__ == "__main__":
    sys.exit(main())
