"""What tracking costs the training thread: the time that an epoch's log calls take, with a server that takes 1 s.

    python benchmarks/logger_cost.py

Logs 1000 short epochs through nnU-Net's own logger, with ours attached and without it, while the tracker of a parent's
thread sends them to a real MLflow server behind a proxy that holds each request for a second. Exit code 1: the goal was
missed.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets_tests.tracking.folds import Tracked, tracker
from nnunet_assets_tests.tracking.servers import Answer, MlflowServer, Request, forwarded, serving

EPOCHS = 1000
EPOCH_SECONDS = 0.02
ANSWER_SECONDS = 1.0
GOAL_MS = 5.0
LABELS = ["Anterior", "Posterior"]


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        server = MlflowServer(Path(folder))
        server.start()

        def slowly(request: Request) -> Answer:
            time.sleep(ANSWER_SECONDS)
            return forwarded(request, server.uri)

        try:
            with serving(slowly) as slow:
                tracked, n_sent = _epochs_tracked(slow.uri, Path(folder) / "tracked" / "fold_0")
            n_runs = len(Tracked(server.uri, Path(folder)).runs)
        finally:
            server.kill()
        alone = _epochs(Path(folder) / "alone" / "fold_0", attached=False)
    p99 = quantiles(tracked, n=100)[98]
    print(f"{EPOCHS} epochs of {EPOCH_SECONDS * 1000:.0f} ms, a server that takes {ANSWER_SECONDS:.0f} s a request:")
    print(f"  nnU-Net's logger alone  median {median(alone):.3f} ms, 99th percentile {quantiles(alone, n=100)[98]:.3f}")
    print(f"  with tracking           median {median(tracked):.3f} ms, 99th percentile {p99:.3f} (goal {GOAL_MS:.0f})")
    print(f"  MLflow had {n_sent} records of {EPOCHS + 1} in {n_runs} run at the end.")
    return int(p99 > GOAL_MS)


def _epochs_tracked(uri: str, fold_folder: Path) -> tuple[list[float], int]:
    with tracker(uri, fold_folder) as following:
        append_record(journal_path(fold_folder), "start", {"attempt": "benchmark", "params": {"initial_lr": 0.01}})
        milliseconds = _epochs(fold_folder, attached=True)
        report = following.finish("FINISHED", timeout_seconds=120)
    return milliseconds, report.n_sent


def _epochs(fold_folder: Path, *, attached: bool) -> list[float]:
    """Returns the milliseconds that the log calls of each epoch took."""
    from nnunetv2.training.logging.nnunet_logger import MetaLogger

    fold_folder.mkdir(parents=True, exist_ok=True)
    logger = MetaLogger(str(fold_folder), resume=False)
    ours = JournalLogger(journal_path(fold_folder), LABELS, lambda _epoch, _values: None)
    if attached:
        logger.loggers.append(ours)
    milliseconds = []
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        logger.log("epoch_start_timestamps", time.time(), epoch)
        logger.log("lrs", 0.01, epoch)
        logger.log("train_losses", 0.1, epoch)
        logger.log("mean_fg_dice", 0.5, epoch)
        logger.log("dice_per_class_or_region", [0.5, 0.5], epoch)
        logger.log("val_losses", 0.2, epoch)
        logger.log("epoch_end_timestamps", time.time(), epoch)
        milliseconds.append(1000 * (time.perf_counter() - start))
        time.sleep(EPOCH_SECONDS)
    ours.close()
    return milliseconds


if __name__ == "__main__":
    sys.exit(main())
