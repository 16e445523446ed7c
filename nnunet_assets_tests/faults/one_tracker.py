"""Tracks a journal that is written here, without a training: `one_tracker FOLD_FOLDER TRACKING_URI START_TIME`."""

import sys
import time
from pathlib import Path

from nnunet_assets_tests.tracking.folds import start, tracker, train, validate


def main(folder: Path, tracking_uri: str, start_time: float) -> int:
    """Follows six epochs; the exit code says whether MLflow has everything."""
    # Imported before the start, or five processes would come one after the other.
    import mlflow  # noqa: F401

    time.sleep(max(0.0, start_time - time.time()))
    with tracker(tracking_uri, folder, tags={"nnunet_assets.fold": folder.name}) as following:
        start(folder, attempt=f"attempt of {folder.name}")
        train(folder, 0, 5)
        validate(folder)
        report = following.finish("FINISHED")
    print(report)
    return 0 if (report.n_waiting, report.problem) == (0, None) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
